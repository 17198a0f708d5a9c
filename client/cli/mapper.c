#include "client/cli/mapper.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/exit.h"
#include "client/cli/interrupt.h"
#include "client/cli/lines.h"
#include "client/cli/outcome.h"
#include "client/cli/progress.h"
#include "client/cli/report.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define MAPPER_WINDOW_MIN 256u
#define MAPPER_WINDOW_MAX 16384u
#define MAPPER_INPUT_MAX_BYTES ((size_t)64 << 20)
#define MAPPER_RESULTS_MAX_BYTES ((size_t)256 << 20)
#define MAPPER_AHEAD_BYTES ((size_t)64 << 20) /* read to know the total, for the bar */
#define NO_EXIT (-1)
#define MAPPER_SUBMITS_A_ROUND 256

/* One line: submitted, or found to be no argument. */
struct line {
	TAILQ_ENTRY(line) link;
	uint64_t number;     /* from 1 */
	size_t bytes;	     /* of input */
	size_t result_bytes; /* once ended */
	/* NULL: it never became a task. The client's until it comes off the done
	 * queue, then ours. */
	struct remuda_future *future;
	bool queued;	/* the future is the client's */
	bool cancelled; /* in the list of those */
	bool ended;
	char *why; /* owned: why it never became one */
};

TAILQ_HEAD(line_list, line);

struct mapper {
	struct rmd_submitter *submitter;
	const struct rmd_submit_settings *settings;
	struct rmd_lines lines;
	struct rmd_argument_list arguments;
	struct rmd_progress progress;
	FILE *out;
	bool out_is_terminal;	    /* perhaps the one with the bar */
	uint64_t input_bytes;	    /* size of the input where it is a file, else 0 */
	struct line_list list;	    /* owned: not yet given out, in input order */
	struct line_list cancelled; /* owned: not wanted any more, still to come off the
				       done queue */
	size_t listed, running;	    /* in the list; of them not ended */
	size_t listed_bytes;	    /* input of those that run */
	size_t waiting_bytes;	    /* results of those that ended */
	size_t largest_bytes;	    /* largest result so far */
	size_t window;
	uint64_t taken, done, failed; /* lines */
	uint64_t stop_at;	      /* number of the first line that failed; 0: none */
	bool hungry;		      /* no whole line is held */
	bool no_more;		      /* nothing more is submitted */
	int write_error;	      /* errno of the first write that failed, or 0 */
	int exit;		      /* how the run ends, once it does */
};

/* ---- taking lines in ---- */

static struct line *add_line(struct mapper *map, size_t bytes)
{
	struct line *line = rmd_calloc(1, sizeof *line);

	map->taken++;
	if (line == NULL)
		return NULL;
	line->number = map->taken;
	line->bytes = bytes;
	TAILQ_INSERT_TAIL(&map->list, line, link);
	map->listed++;
	return line;
}

static void free_line(struct line *line)
{
	if (!line->queued)
		remuda_future_free(line->future);
	rmd_free(line->why);
	rmd_free(line);
}

/* Takes a line off the list. */
static void unlist(struct mapper *map, struct line *line)
{
	TAILQ_REMOVE(&map->list, line, link);
	map->listed--;
	if (!line->ended) {
		map->running--;
		map->listed_bytes -= line->bytes;
	}
	map->waiting_bytes -= line->result_bytes;
}

static void drop_line(struct mapper *map, struct line *line)
{
	unlist(map, line);
	free_line(line);
}

/* Notes a line that can't be a task: it has failed before it began. */
static int refuse_line(struct mapper *map, size_t bytes, const char *why)
{
	struct line *line = add_line(map, bytes);

	if (line == NULL)
		return RMD_ENOMEM;
	line->ended = true;
	line->why = rmd_strdup(why);
	if (map->stop_at == 0)
		map->stop_at = line->number;
	map->no_more = !map->settings->keep_going;
	return 0;
}

static int submit_line(struct mapper *map, struct rmd_slice text)
{
	char why[RMD_ARGUMENT_WHY_BYTES];
	struct line *line;
	int rc;

	rmd_argument_list_reset(&map->arguments);
	rc = rmd_submitter_add(map->submitter, &map->arguments, text, why);
	if (rc == RMD_ENOMEM)
		return rc;
	if (rc < 0)
		return refuse_line(map, text.len, why);
	line = add_line(map, text.len);
	if (line == NULL)
		return RMD_ENOMEM;
	line->future =
		rmd_submitter_submit(map->submitter, &map->arguments, line->number);
	map->running++;
	map->listed_bytes += text.len;
	if (line->future == NULL)
		return RMD_ENOMEM;
	line->queued = true;
	return remuda_enqueue(line->future, NULL, line);
}

/* True if the bounds let one more line in. */
static bool has_room(const struct mapper *map)
{
	if (map->listed == 0)
		return true;
	return map->listed < map->window && map->listed_bytes < MAPPER_INPUT_MAX_BYTES &&
	       map->waiting_bytes + map->running * map->largest_bytes <
		       MAPPER_RESULTS_MAX_BYTES;
}

/* Submits lines that are there already. Gives how many, or a code. */
static int take_lines(struct mapper *map)
{
	int taken = 0;

	map->hungry = false;
	while (!map->no_more && taken < MAPPER_SUBMITS_A_ROUND && has_room(map)) {
		struct rmd_slice text;
		int rc = rmd_lines_next(&map->lines, &text);

		if (rc == RMD_EAGAIN) {
			map->hungry = true;
			break;
		}
		if (rc == 0) {
			map->no_more = true;
			break;
		}
		if (rc == RMD_ETOOBIG)
			rc = refuse_line(map, 0, "longer than 64 MiB");
		else
			rc = submit_line(map, text);
		if (rc < 0)
			return rc;
		taken++;
	}
	return taken;
}

/* ---- giving results out ---- */

/* Ends the run with `exit`, unless it ends already. */
static void end_run(struct mapper *map, int exit)
{
	map->no_more = true;
	if (map->exit == NO_EXIT)
		map->exit = exit;
}

/* To be called right after writing: keeps errno of a failure. */
static void note_write(struct mapper *map)
{
	if (!ferror(map->out) || map->write_error != 0)
		return;
	map->write_error = errno != 0 ? errno : EIO;
	if (map->exit == RMD_EXIT_OK) /* the last flush */
		map->exit = NO_EXIT;
	if (rmd_interrupt_seen())
		end_run(map, RMD_EXIT_INTERRUPTED);
	else
		end_run(map, map->write_error == EPIPE ? RMD_EXIT_PIPE : RMD_EXIT_SYSTEM);
}

/* In place of the result of a line that failed, so that the lines of the output stay
 * those of the input. */
static void write_gap(struct mapper *map, const struct line *line,
		      struct remuda_error *err)
{
	char *json = map->settings->json && err != NULL ? remuda_error_json(err) : NULL;

	if (map->settings->json)
		fprintf(map->out, "{\"line\": %" PRIu64 ", \"error\": %s}\n",
			line->number, json != NULL ? json : "null");
	else if (map->settings->keep_going && !map->settings->unordered)
		fputs(map->settings->raw ? "\n" : "null\n", map->out);
	free(json);
}

static void fail_line(struct mapper *map, const struct line *line, int code)
{
	struct remuda_error *err = NULL;
	const struct remuda_value *value;
	char what[48];
	int exit = rmd_outcome_exit(code, RMD_EXIT_TASK);

	map->failed++;
	if (line->why != NULL)
		err = remuda_error_create("BadLine", "%s", line->why);
	else
		remuda_result(line->future, &value, &err);
	snprintf(what, sizeof what, "line %" PRIu64, line->number);
	if (map->settings->keep_going && exit == RMD_EXIT_TASK) {
		rmd_outcome_report_line(what, code, err);
	} else {
		rmd_outcome_report(what, code, err);
		end_run(map, exit);
	}
	write_gap(map, line, err);
	remuda_error_free(err);
}

/* Gives one ended line out and forgets it. */
static int give_out(struct mapper *map, struct line *line)
{
	const struct remuda_value *value = NULL;
	int code = line->future != NULL ? remuda_result(line->future, &value, NULL)
					: REMUDA_ETASK;
	int rc = 0;

	if (map->submitter->output != NULL)
		rmd_output_drain(map->submitter->output);
	if (map->out_is_terminal)
		rmd_progress_hide(&map->progress);
	map->done++;
	errno = 0;
	if (code < 0) {
		fail_line(map, line, code);
	} else {
		if (map->settings->json)
			fprintf(map->out,
				"{\"line\": %" PRIu64 ", \"value\": ", line->number);
		rc = rmd_outcome_write(value, map->settings->raw && !map->settings->json,
				       map->out);
		fputs(map->settings->json ? "}\n" : "\n", map->out);
	}
	note_write(map);
	drop_line(map, line);
	if (map->window < MAPPER_WINDOW_MAX)
		map->window++;
	return rc;
}

/* A task's future has come off the done queue. */
static void note_end(struct mapper *map, struct line *line)
{
	const struct remuda_value *value = NULL;
	int code = remuda_result(line->future, &value, NULL);

	line->ended = true;
	map->running--;
	map->listed_bytes -= line->bytes;
	line->result_bytes = code == 0 ? rmd_outcome_weigh(value) : 0;
	map->waiting_bytes += line->result_bytes;
	if (line->result_bytes > map->largest_bytes)
		map->largest_bytes = line->result_bytes;
	if (code < 0 && (map->stop_at == 0 || line->number < map->stop_at))
		map->stop_at = line->number;
}

/* Empties the client's done queue. Gives how many of the list have ended. */
static int collect(struct mapper *map)
{
	void *ctx = NULL;
	int count = 0;

	while (remuda_next_done(map->submitter->client, &ctx) != NULL) {
		struct line *line = ctx;

		line->queued = false;
		if (line->cancelled) {
			TAILQ_REMOVE(&map->cancelled, line, link);
			free_line(line);
		} else {
			note_end(map, line);
			count++;
		}
	}
	return count;
}

/* Once a line has failed: cancels those behind it; they are not waited for. */
static void cancel_behind(struct mapper *map)
{
	struct line *line, *next;

	if (map->stop_at == 0 || map->settings->keep_going || map->settings->unordered)
		return;
	map->no_more = true;
	for (line = TAILQ_LAST(&map->list, line_list);
	     line != NULL && line->number > map->stop_at; line = next) {
		next = TAILQ_PREV(line, line_list, link);
		unlist(map, line);
		if (!line->queued) {
			free_line(line);
			continue;
		}
		remuda_cancel(line->future);
		line->cancelled = true;
		TAILQ_INSERT_TAIL(&map->cancelled, line, link);
	}
}

/* Gives out what may be: from the head of the list, or all that ended. */
static int give_ready(struct mapper *map)
{
	struct line *line, *next;
	int rc = 0;

	for (line = TAILQ_FIRST(&map->list);
	     line != NULL && map->exit == NO_EXIT && rc == 0; line = next) {
		next = TAILQ_NEXT(line, link);
		if (line->ended)
			rc = give_out(map, line);
		else if (!map->settings->unordered)
			break;
	}
	return rc;
}

/* ---- waiting ---- */

static struct rmd_progress_view view_of(const struct mapper *map)
{
	const struct rmd_lines *lines = &map->lines;
	struct rmd_progress_view view = {.done = map->done, .failed = map->failed};

	if (lines->ended) {
		view.total = lines->lines_read;
	} else if (map->input_bytes > 0 && lines->bytes_read > 0) {
		view.total = (uint64_t)((double)lines->lines_read *
					(double)map->input_bytes /
					(double)lines->bytes_read);
		view.estimated = true;
	}
	return view;
}

static void draw_bar(struct mapper *map)
{
	if (map->out_is_terminal &&
	    map->progress.shown) /* not in the middle of the bar */
		fflush(map->out);
	rmd_progress_update(&map->progress, view_of(map));
}

/* True if the input should be read: lines are wanted, or their number, for the bar. */
static bool wants_input(const struct mapper *map)
{
	size_t held = rmd_lines_held_bytes(&map->lines);

	if (map->no_more || map->lines.ended)
		return false;
	if (map->progress.shown && map->input_bytes == 0 && held < MAPPER_AHEAD_BYTES)
		return true;
	return map->hungry && has_room(map);
}

static int read_input(struct mapper *map)
{
	int rc = rmd_lines_fill(&map->lines);

	if (rc != RMD_ESYS)
		return rc == RMD_ENOMEM ? rc : 0;
	rmd_report("cannot read the input: %s", strerror(errno));
	end_run(map, RMD_EXIT_SYSTEM);
	return 0;
}

/* Sleeps until something happens; reads input if that is it. */
static int wait_for_more(struct mapper *map)
{
	struct rmd_output *output = map->submitter->output;
	struct pollfd fds[] = {
		{.fd = remuda_fd(map->submitter->client), .events = POLLIN},
		{.fd = map->submitter->interrupt_fd, .events = POLLIN},
		{.fd = output != NULL ? rmd_output_fd(output) : -1, .events = POLLIN},
		{.fd = wants_input(map) ? map->lines.fd : -1, .events = POLLIN},
	};
	int rc = 0;

	if (poll(fds, 4, 0) == 0) { /* a pause: show what there is */
		fflush(map->out);
		note_write(map);
		draw_bar(map);
		poll(fds, 4, rmd_progress_wait_ms(&map->progress));
	}
	draw_bar(map);
	if (output != NULL && fds[2].revents != 0)
		rmd_output_drain(output);
	if (fds[3].revents != 0)
		rc = read_input(map);
	return rc;
}

static void hide_bar(void *ctx)
{
	rmd_progress_hide(ctx);
}

/* ---- the run ---- */

static int step(struct mapper *map)
{
	int ended = collect(map), taken, rc;

	cancel_behind(map);
	rc = give_ready(map);
	if (rc < 0 || map->exit != NO_EXIT)
		return rc;
	taken = take_lines(map);
	if (taken < 0)
		return taken;
	if (map->no_more && map->listed == 0) {
		end_run(map, map->failed > 0 ? RMD_EXIT_SOME : RMD_EXIT_OK);
		return 0;
	}
	if (taken == MAPPER_SUBMITS_A_ROUND ||
	    (taken > 0 && ended > 0)) { /* busy: no sleep */
		draw_bar(map);
		return 0;
	}
	return wait_for_more(map);
}

/* Cancels what still runs, and forgets all; futures that are queued end with the
 * client. */
static void clear(struct mapper *map)
{
	struct line *line;

	TAILQ_FOREACH (line, &map->list, link)
		if (line->queued)
			remuda_cancel(line->future);
	while ((line = TAILQ_FIRST(&map->list)) != NULL)
		drop_line(map, line);
	while ((line = TAILQ_FIRST(&map->cancelled)) != NULL) {
		TAILQ_REMOVE(&map->cancelled, line, link);
		free_line(line);
	}
}

/* Says how it went where that is not plain to see. */
static void report_end(struct mapper *map)
{
	if (map->write_error != 0 && map->exit == RMD_EXIT_SYSTEM)
		rmd_report("cannot write the output: %s", strerror(map->write_error));
	else if (map->exit == RMD_EXIT_INTERRUPTED)
		rmd_report("interrupted (lines done: %" PRIu64
			   "): what was open is cancelled",
			   map->done);
	else if (map->exit == RMD_EXIT_SOME)
		rmd_report("%" PRIu64 " of %" PRIu64 " lines failed", map->failed,
			   map->done);
}

static uint64_t size_left(int fd)
{
	struct stat stat_buf;
	off_t at = lseek(fd, 0, SEEK_CUR);

	if (fstat(fd, &stat_buf) < 0 || !S_ISREG(stat_buf.st_mode) || at < 0 ||
	    stat_buf.st_size <= at)
		return 0;
	return (uint64_t)(stat_buf.st_size - at);
}

int rmd_mapper_run(struct rmd_submitter *submitter, int input_fd, FILE *out)
{
	const struct rmd_submit_settings *settings = submitter->settings;
	struct mapper map = {
		.submitter = submitter,
		.settings = settings,
		.out = out,
		.out_is_terminal = isatty(fileno(out)) != 0,
		.input_bytes = size_left(input_fd),
		.list = TAILQ_HEAD_INITIALIZER(map.list),
		.cancelled = TAILQ_HEAD_INITIALIZER(map.cancelled),
		.window = MAPPER_WINDOW_MIN,
		.exit = NO_EXIT,
	};
	int rc = 0;

	rmd_lines_init(&map.lines, input_fd, settings->nul ? 0 : '\n',
		       RMD_LINE_MAX_BYTES);
	rmd_argument_list_init(&map.arguments);
	rmd_progress_start(&map.progress, !settings->no_progress);
	rmd_report_hook(hide_bar, &map.progress);
	while (rc == 0 && map.exit == NO_EXIT) {
		rc = step(&map);
		if (rmd_interrupt_seen())
			end_run(&map, RMD_EXIT_INTERRUPTED);
	}
	if (rc < 0)
		end_run(&map, rc == RMD_ENOMEM ? rmd_report_no_memory()
					       : rmd_outcome_exit(rc, RMD_EXIT_SERVICE));
	fflush(out);
	note_write(&map);
	clear(&map);
	rmd_progress_finish(&map.progress, view_of(&map));
	rmd_report_hook(NULL, NULL);
	report_end(&map);
	rmd_argument_list_fini(&map.arguments);
	rmd_lines_fini(&map.lines);
	return map.exit;
}
