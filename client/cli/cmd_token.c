/* remuda token create, list, revoke: the file that remudad --tokens reads. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/tokens/tokens.h"

#define DAY_S 86400
#define DAYS_MAX 36500u
#define DAY_TEXT_BYTES 32u

struct settings {
	const char *file;
	struct rmd_option_number days;
	bool json;
};

static const struct rmd_column columns[] = {
	{"NAME", "name", RMD_COLUMN_TEXT},
	{"EXPIRES", "expires", RMD_COLUMN_TEXT},
	{"STATE", "state", RMD_COLUMN_TEXT},
};

/* The last day on which it is good, or "never". */
static const char *day_of(time_t until, char text[DAY_TEXT_BYTES])
{
	struct tm tm;
	time_t last = until - 1;
	if (until == 0 || gmtime_r(&last, &tm) == NULL ||
	    strftime(text, DAY_TEXT_BYTES, "%Y-%m-%d", &tm) == 0)
		return "never";
	return text;
}

/* RMD_EXIT_OK with *ret_tokens; it is NULL where there is no such file and `may_lack`. */
static int open_tokens(const struct settings *set, bool may_lack,
		       struct rmd_tokens **ret_tokens)
{
	char *why = NULL;
	*ret_tokens = NULL;
	if (set->file == NULL) {
		rmd_report(
			"which file? give --file, the one that remudad --tokens reads");
		return RMD_EXIT_USAGE;
	}
	if (may_lack && access(set->file, F_OK) < 0 && errno == ENOENT)
		return RMD_EXIT_OK;
	if (rmd_tokens_open(set->file, ret_tokens, &why) == 0)
		return RMD_EXIT_OK;
	rmd_report("%s", why != NULL ? why : "out of memory");
	rmd_free(why);
	return RMD_EXIT_SYSTEM;
}

static void put_token(FILE *to, const struct rmd_token *token)
{
	char hex[RMD_DIGEST_HEX_BYTES], day[DAY_TEXT_BYTES];
	rmd_digest_hex(&token->digest, hex);
	fprintf(to, "%s %s %s\n", token->name, hex, day_of(token->until, day));
}

/* Writes all but those called `without`, then `added` (NULL: none): first beside the
 * file, then in its place, so that who reads it never finds half of it. */
static int rewrite(const char *path, const struct rmd_tokens *tokens, const char *without,
		   const struct rmd_token *added)
{
	const struct rmd_token *token;
	char *fresh = rmd_asprintf("%s.XXXXXX", path);
	int fd = fresh == NULL ? -1 : mkostemp(fresh, O_CLOEXEC); /* mode 0600 */
	FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
	bool bad = to == NULL;
	if (to != NULL) {
		for (size_t i = 0;
		     tokens != NULL && (token = rmd_tokens_at(tokens, i)) != NULL; i++)
			if (without == NULL || strcmp(token->name, without) != 0)
				put_token(to, token);
		if (added != NULL)
			put_token(to, added);
		bad = fflush(to) != 0 || fsync(fd) < 0;
		bad = fclose(to) != 0 || bad;
		bad = bad || rename(fresh, path) < 0;
	}
	if (bad)
		rmd_report("cannot write %s: %s", path,
			   fresh == NULL ? "out of memory" : strerror(errno));
	if (bad && fd >= 0)
		unlink(fresh);
	rmd_free(fresh);
	return bad ? RMD_EXIT_SYSTEM : RMD_EXIT_OK;
}

static const struct rmd_token *find(const struct rmd_tokens *tokens, const char *name)
{
	const struct rmd_token *token;
	for (size_t i = 0; tokens != NULL && (token = rmd_tokens_at(tokens, i)) != NULL;
	     i++)
		if (strcmp(token->name, name) == 0)
			return token;
	return NULL;
}

static int create(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	const char *name = arguments[0];
	struct rmd_tokens *tokens;
	struct rmd_token token = {.until = 0};
	char text[RMD_TOKEN_BYTES];
	(void)count;
	if (!rmd_token_name_ok(name)) {
		rmd_report("\"%s\" is not a name: 1 to 64 of letters, digits, . _ -",
			   name);
		return RMD_EXIT_USAGE;
	}
	int rc = open_tokens(set, true, &tokens);
	if (rc != RMD_EXIT_OK)
		return rc;
	if (find(tokens, name) != NULL) {
		rmd_report("there is a token called %s: revoke it first, or take another "
			   "name (\"%s-2\") to change over without a gap",
			   name, name);
		rc = RMD_EXIT_USAGE;
	} else {
		memcpy(token.name, name, strlen(name) + 1);
		if (set->days.given)
			token.until = (time(NULL) / DAY_S + (time_t)set->days.value + 1) *
				      DAY_S;
		rmd_token_create(text, &token.digest);
		rc = rewrite(set->file, tokens, NULL, &token);
	}
	rmd_tokens_close(tokens);
	if (rc == RMD_EXIT_OK)
		puts(text);
	explicit_bzero(text, sizeof text);
	return rc == RMD_EXIT_OK ? rmd_report_flush() : rc;
}

static int list(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	const struct rmd_token *token;
	struct rmd_tokens *tokens;
	struct rmd_rows rows;
	char day[DAY_TEXT_BYTES];
	(void)count, (void)arguments;
	int rc = open_tokens(set, false, &tokens);
	if (rc != RMD_EXIT_OK)
		return rc;
	rmd_rows_init(&rows, columns, RMD_COUNT(columns), set->json, stdout);
	for (size_t i = 0; (token = rmd_tokens_at(tokens, i)) != NULL; i++) {
		rmd_rows_text(&rows, token->name);
		rmd_rows_text(&rows, day_of(token->until, day));
		rmd_rows_text(&rows, token->until != 0 && time(NULL) >= token->until
					     ? "expired"
					     : "good");
	}
	rc = rmd_rows_finish(&rows);
	rmd_tokens_close(tokens);
	return rc;
}

static int take_back(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	struct rmd_tokens *tokens;
	(void)count;
	int rc = open_tokens(set, false, &tokens);
	if (rc != RMD_EXIT_OK)
		return rc;
	if (find(tokens, arguments[0]) == NULL) {
		rmd_report("%s has no token called %s", set->file, arguments[0]);
		rc = RMD_EXIT_USAGE;
	} else {
		rc = rewrite(set->file, tokens, arguments[0], NULL);
	}
	rmd_tokens_close(tokens);
	return rc;
}

#define FILE_ROW                                                                       \
	{                                                                              \
		"file", 'f', RMD_OPTION_TEXT, "FILE", offsetof(struct settings, file), \
			0, 0, "the file that remudad --tokens reads"                   \
	}

static const struct rmd_option create_options[] = {
	FILE_ROW,
	{"days", 'd', RMD_OPTION_NUMBER, "N", offsetof(struct settings, days), 1,
	 DAYS_MAX,
	 "it is good for so many days after today (default: until it is revoked)"},
};
static const struct rmd_option list_options[] = {
	FILE_ROW,
	RMD_OPTION_ROW_JSON(struct settings),
};
static const struct rmd_option revoke_options[] = {FILE_ROW};

const struct rmd_command rmd_command_token_create = {
	.name = "token create",
	.arguments = "NAME",
	.summary = "make a token with which somebody may call a coordinator",
	.description =
		"Makes a token, prints it once, and adds its digest to the file, which "
		"is "
		"made where it is missing. Whoever has the token gives it as "
		"REMUDA_TOKEN, "
		"or in a file as REMUDA_TOKEN_FILE; other gRPC clients send it as "
		"\"authorization: Bearer TOKEN\". A coordinator that runs reads the file "
		"again when it changes.",
	.examples = "remuda token create --file /etc/remuda/tokens --days 90 ci",
	.options = create_options,
	.option_count = RMD_COUNT(create_options),
	.settings_bytes = sizeof(struct settings),
	.arguments_min = 1,
	.arguments_max = 1,
	.run = create,
};

const struct rmd_command rmd_command_token_list = {
	.name = "token list",
	.arguments = "",
	.summary = "list the tokens of a file",
	.description =
		"Lists the names of the tokens, the last day on which each is good, and "
		"whether it is now. The tokens themselves are nowhere.",
	.options = list_options,
	.option_count = RMD_COUNT(list_options),
	.settings_bytes = sizeof(struct settings),
	.run = list,
};

const struct rmd_command rmd_command_token_revoke = {
	.name = "token revoke",
	.arguments = "NAME",
	.summary = "take a token back",
	.description =
		"Removes the token from the file. A coordinator that runs admits no new "
		"call with it a second later; calls that it has admitted go on.",
	.options = revoke_options,
	.option_count = RMD_COUNT(revoke_options),
	.settings_bytes = sizeof(struct settings),
	.arguments_min = 1,
	.arguments_max = 1,
	.run = take_back,
};
