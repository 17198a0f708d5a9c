#include "client/cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/base/clock.h"

#define DRAW_EVERY_MS 100u
#define MARK_EVERY_MS 500u
#define BAR_MIN 10u
#define BAR_MAX 40u

void rmd_progress_format_count(uint64_t count, char ret_text[32])
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, count);
	char *out = ret_text;

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = 0;
}

void rmd_progress_format_time(uint64_t ms, char ret_text[32])
{
	uint64_t s = (ms + 500) / 1000;

	if (s < 3600)
		snprintf(ret_text, 32, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
	else if (s < 360000)
		snprintf(ret_text, 32, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600,
			 s / 60 % 60, s % 60);
	else
		snprintf(ret_text, 32, "%" PRIu64 "d", s / 86400);
}

static void format_rate(double rate, char ret_text[40])
{
	if (rate >= 100)
		rmd_progress_format_count((uint64_t)(rate + 0.5), ret_text);
	else
		snprintf(ret_text, 32, rate >= 10 ? "%.0f" : "%.1f", rate);
	strcat(ret_text, "/s");
}

static void format_bar(double part, size_t width, char *ret_bar)
{
	size_t filled = (size_t)(part * (double)width);

	memset(ret_bar, ' ', width);
	memset(ret_bar, '=', filled < width ? filled : width);
	if (filled < width)
		ret_bar[filled] = '>';
	ret_bar[width] = 0;
}

/* "  512/s  ETA 0:08  3 failed": what stands behind the bar. */
static void format_tail(const struct rmd_progress_view *view, bool known,
			char ret_tail[160])
{
	char rate[40], time[32], failed[48] = "", count[32];

	format_rate(view->rate, rate);
	rmd_progress_format_count(view->failed, count);
	if (view->failed > 0)
		snprintf(failed, sizeof failed, "  %s failed", count);
	bool eta = known && view->done < view->total && view->rate > 0;
	if (eta) {
		double left = (double)(view->total - view->done) / view->rate;
		rmd_progress_format_time(
			left < 1e12 ? (uint64_t)(left * 1000) : UINT64_MAX / 2, time);
	} else {
		rmd_progress_format_time(view->elapsed_ms, time);
	}
	snprintf(ret_tail, 160, "  %s  %s%s%s", rate, eta ? "ETA " : "", time, failed);
}

void rmd_progress_format(const struct rmd_progress_view *view, size_t columns,
			 char ret_line[RMD_PROGRESS_COLUMNS_MAX])
{
	char done[32], total[32], tail[160], head[96], bar[BAR_MAX + 1], whole[512];
	size_t room = columns < RMD_PROGRESS_COLUMNS_MAX ? columns
							 : RMD_PROGRESS_COLUMNS_MAX;
	bool known = view->total > 0 && view->total >= view->done;
	double part = known ? (double)view->done / (double)view->total : 0;
	int percent = (int)(part * 100);

	rmd_progress_format_count(view->done, done);
	rmd_progress_format_count(view->total, total);
	format_tail(view, known, tail);
	snprintf(head, sizeof head, "%s/%s%s", done, view->estimated ? "~" : "", total);
	size_t used = strlen(head) + strlen(tail) + sizeof " [] 100 %";
	if (!known) {
		snprintf(whole, sizeof whole, "%s lines%s", done, tail);
	} else if (used + BAR_MIN > room) {
		snprintf(whole, sizeof whole, "%s %3d %%%s", head, percent, tail);
	} else {
		format_bar(part, room - used < BAR_MAX ? room - used : BAR_MAX, bar);
		snprintf(whole, sizeof whole, "%s [%s] %3d %%%s", head, bar, percent,
			 tail);
	}
	size_t len = strlen(whole);
	if (len + 1 > room)
		len = room > 0 ? room - 1 : 0;
	memcpy(ret_line, whole, len);
	ret_line[len] = 0;
}

void rmd_progress_start(struct rmd_progress *progress, bool wanted)
{
	const char *term = getenv("TERM");
	uint64_t now_ms = rmd_clock_mono_ms();

	*progress = (struct rmd_progress){
		.shown = wanted && isatty(STDERR_FILENO) && term != NULL && *term != 0 &&
			 strcmp(term, "dumb") != 0,
		.begun_at_ms = now_ms,
		.marked_at_ms = now_ms,
	};
}

static void draw(struct rmd_progress *progress, struct rmd_progress_view view,
		 uint64_t now_ms, double rate)
{
	char line[RMD_PROGRESS_COLUMNS_MAX];
	struct winsize size = {0};
	size_t columns = 80;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		columns = size.ws_col;
	view.elapsed_ms = now_ms - progress->begun_at_ms;
	view.rate = rate;
	rmd_progress_format(&view, columns, line);
	fprintf(stderr, "\r%s\x1b[K", line);
	fflush(stderr);
	progress->drawn = true;
	progress->drawn_at_ms = now_ms;
}

static double rate_since(uint64_t done, uint64_t ms)
{
	return ms > 0 ? (double)done * 1000 / (double)ms : 0;
}

void rmd_progress_update(struct rmd_progress *progress, struct rmd_progress_view view)
{
	uint64_t now_ms = rmd_clock_mono_ms();
	uint64_t since_ms = now_ms - progress->marked_at_ms;

	if (!progress->shown || now_ms - progress->drawn_at_ms < DRAW_EVERY_MS)
		return;
	if (since_ms >= MARK_EVERY_MS) { /* half of it old, half of it new */
		double fresh = rate_since(view.done - progress->marked_done, since_ms);
		progress->rate = progress->rate > 0 ? (progress->rate + fresh) / 2
						    : fresh;
		progress->marked_at_ms = now_ms;
		progress->marked_done = view.done;
	}
	draw(progress, view, now_ms,
	     progress->rate > 0 ? progress->rate
				: rate_since(view.done, now_ms - progress->begun_at_ms));
}

void rmd_progress_hide(struct rmd_progress *progress)
{
	if (!progress->drawn)
		return;
	fputs("\r\x1b[K", stderr);
	progress->drawn = false;
	progress->drawn_at_ms = 0; /* it comes back soon */
}

void rmd_progress_finish(struct rmd_progress *progress, struct rmd_progress_view view)
{
	uint64_t now_ms = rmd_clock_mono_ms();

	if (!progress->shown)
		return;
	draw(progress, view, now_ms,
	     rate_since(view.done, now_ms - progress->begun_at_ms));
	fputc('\n', stderr);
	progress->shown = progress->drawn = false;
}

int rmd_progress_wait_ms(const struct rmd_progress *progress)
{
	return progress->shown ? (int)DRAW_EVERY_MS : -1;
}
