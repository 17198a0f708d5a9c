#include "client/cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/exit.h"
#include "client/cli/nearest.h"
#include "client/cli/report.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

bool rmd_option_takes_value(const struct rmd_option *option)
{
	return option->kind != RMD_OPTION_FLAG;
}

const struct rmd_option *rmd_option_by_name(const struct rmd_command *command,
					    const char *name, size_t len)
{
	for (size_t i = 0; i < command->option_count; i++) {
		const struct rmd_option *option = &command->options[i];

		if (strlen(option->name) == len && memcmp(option->name, name, len) == 0)
			return option;
	}
	return NULL;
}

const struct rmd_option *rmd_option_by_letter(const struct rmd_command *command,
					      char letter)
{
	for (size_t i = 0; i < command->option_count; i++)
		if (letter != 0 && command->options[i].letter == letter)
			return &command->options[i];
	return NULL;
}

int rmd_option_duration_parse(const char *text, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {{"", 1000},   {"s", 1000},	   {"ms", 1},
		     {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return RMD_EINVAL;
	errno = 0;
	double number = strtod(text, &end);
	for (size_t i = 0; i < RMD_COUNT(units); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		double ms = number * (double)units[i].ms;
		if (errno != 0 || !(ms >= 0) || ms > (double)RMD_OPTION_DURATION_MAX_MS)
			return RMD_ERANGE;
		*ret_ms = (int64_t)(ms + 0.5);
		return 0;
	}
	return RMD_EINVAL;
}

static int64_t *number_field(const struct rmd_option *option, void *settings)
{
	struct rmd_option_number *number =
		(struct rmd_option_number *)(void *)((char *)settings + option->offset);

	number->given = true;
	return &number->value;
}

static int set_number(const struct rmd_option *option, const char *value, void *settings)
{
	char *end;

	errno = 0;
	long long number = strtoll(value, &end, 10);
	if (end == value || *end != 0) {
		rmd_report("--%s takes a whole number, not '%s'", option->name, value);
		return RMD_EXIT_USAGE;
	}
	if (errno != 0 || number < option->min || number > option->max) {
		rmd_report("--%s must be from %lld to %lld", option->name,
			   (long long)option->min, (long long)option->max);
		return RMD_EXIT_USAGE;
	}
	*number_field(option, settings) = number;
	return RMD_EXIT_OK;
}

static int set_duration(const struct rmd_option *option, const char *value,
			void *settings)
{
	int64_t ms = 0;
	int rc = rmd_option_duration_parse(value, &ms);

	if (rc == RMD_EINVAL)
		rmd_report("--%s takes a time such as 250ms, 30s, 5m or 2h, not '%s'",
			   option->name, value);
	else if (rc < 0)
		rmd_report("--%s: %s is over the limit of ten years", option->name,
			   value);
	if (rc < 0)
		return RMD_EXIT_USAGE;
	*number_field(option, settings) = ms;
	return RMD_EXIT_OK;
}

/* Writes `value` (NULL for flags) to the option's field. */
static int set_field(const struct rmd_option *option, const char *value, void *settings)
{
	void *field = (char *)settings + option->offset;

	switch (option->kind) {
	case RMD_OPTION_FLAG:
		*(bool *)field = true;
		return RMD_EXIT_OK;
	case RMD_OPTION_TEXT:
	case RMD_OPTION_FILE:
		*(const char **)field = value;
		return RMD_EXIT_OK;
	case RMD_OPTION_NUMBER:
		return set_number(option, value, settings);
	case RMD_OPTION_DURATION:
		return set_duration(option, value, settings);
	case RMD_OPTION_TEXTS:
	case RMD_OPTION_FILES: {
		struct rmd_option_texts *texts = field;
		const char **items =
			rmd_realloc(texts->items, (texts->count + 2) * sizeof *items);
		if (items == NULL)
			return rmd_report_no_memory();
		items[texts->count++] = value;
		items[texts->count] = NULL;
		texts->items = items;
		return RMD_EXIT_OK;
	}
	}
	RMD_UNREACHABLE("an option kind beyond the enum");
}

/* How far the parser is. */
struct cursor {
	const struct rmd_command *command;
	int at, count;
	char **words;
};

/* Sets an option that may take the next word as its value; `attached` stood behind it,
 * or NULL. */
static int take_option(struct cursor *cursor, const struct rmd_option *option,
		       const char *attached, void *settings)
{
	const char *value = attached;

	if (!rmd_option_takes_value(option))
		return set_field(option, NULL, settings);
	if (value == NULL && cursor->at + 1 < cursor->count)
		value = cursor->words[++cursor->at];
	if (value == NULL) {
		rmd_report("--%s needs a value: --%s %s", option->name, option->name,
			   option->metavar);
		return RMD_EXIT_USAGE;
	}
	return set_field(option, value, settings);
}

static int unknown_option(const struct rmd_command *command, const char *word, size_t len)
{
	char name[65] = "";
	struct rmd_nearest search = {.word = name};

	if (strncmp(word, "--", 2) == 0 && len - 2 < sizeof name) {
		memcpy(name, word + 2, len - 2);
		for (size_t i = 0; i < command->option_count; i++)
			rmd_nearest_offer(&search, command->options[i].name);
	}
	if (search.best != NULL)
		rmd_report("'%s' has no option %.*s: did you mean --%s?", command->name,
			   (int)len, word, search.best);
	else
		rmd_report("'%s' has no option %.*s: see 'remuda help %s'", command->name,
			   (int)len, word, command->name);
	return RMD_EXIT_USAGE;
}

static int parse_long(struct cursor *cursor, const char *word,
		      struct rmd_options_parsed *parsed)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
	const struct rmd_option *option = rmd_option_by_name(cursor->command, name, len);

	if (option == NULL && len == 4 && memcmp(name, "help", 4) == 0) {
		parsed->help_wanted = true;
		return RMD_EXIT_OK;
	}
	if (option == NULL)
		return unknown_option(cursor->command, word, len + 2);
	if (equals != NULL && !rmd_option_takes_value(option)) {
		rmd_report("--%s takes no value", option->name);
		return RMD_EXIT_USAGE;
	}
	return take_option(cursor, option, equals != NULL ? equals + 1 : NULL,
			   parsed->settings);
}

/* "-r", "-rR", "-j4", "-j 4". */
static int parse_short(struct cursor *cursor, const char *word,
		       struct rmd_options_parsed *parsed)
{
	for (const char *at = word + 1; *at != 0; at++) {
		const struct rmd_option *option =
			rmd_option_by_letter(cursor->command, *at);

		if (option == NULL && *at == 'h') {
			parsed->help_wanted = true;
			return RMD_EXIT_OK;
		}
		if (option == NULL) {
			char shown[3] = {'-', *at, 0};
			bool printable = isprint((unsigned char)*at) != 0;
			return unknown_option(cursor->command, printable ? shown : word,
					      printable ? 2 : strlen(word));
		}
		bool takes = rmd_option_takes_value(option);
		int rc = take_option(cursor, option, takes && at[1] != 0 ? at + 1 : NULL,
				     parsed->settings);
		if (rc != RMD_EXIT_OK || takes)
			return rc;
	}
	return RMD_EXIT_OK;
}

/* True for "-5", "-.5", "-0" and the like, where the command has no such letter. */
static bool is_negative_number(const struct rmd_command *command, const char *word)
{
	if (word[0] != '-' || rmd_option_by_letter(command, word[1]) != NULL)
		return false;
	return isdigit((unsigned char)word[1]) ||
	       (word[1] == '.' && isdigit((unsigned char)word[2]));
}

static int check_count(const struct rmd_command *command, int count, char **arguments)
{
	if (count < command->arguments_min) {
		rmd_report("%s is missing: remuda %s %s",
			   command->argument_kind == RMD_ARGUMENT_FUNCTION
				   ? "FUNCTION"
				   : "an argument",
			   command->name, command->arguments);
		return RMD_EXIT_USAGE;
	}
	if (command->arguments_max != RMD_ARGUMENTS_ANY &&
	    count > command->arguments_max) {
		rmd_report("'%s' is one argument too many: remuda %s%s%s",
			   arguments[command->arguments_max], command->name,
			   *command->arguments != 0 ? " " : "", command->arguments);
		return RMD_EXIT_USAGE;
	}
	return RMD_EXIT_OK;
}

int rmd_options_parse(const struct rmd_command *command, int count, char **words,
		      struct rmd_options_parsed *ret_parsed)
{
	struct rmd_options_parsed *parsed = ret_parsed;
	struct cursor cursor = {command, 0, count, words};
	bool ended = false;

	*parsed = (struct rmd_options_parsed){
		.settings = rmd_calloc(1, command->settings_bytes + 1),
		.arguments = rmd_calloc((size_t)count + 1, sizeof *parsed->arguments),
	};
	if (parsed->settings == NULL || parsed->arguments == NULL)
		return rmd_report_no_memory();
	for (; cursor.at < count && !parsed->help_wanted; cursor.at++) {
		char *word = words[cursor.at];
		int rc = RMD_EXIT_OK;

		if (ended || word[0] != '-' || word[1] == 0 ||
		    is_negative_number(command, word))
			parsed->arguments[parsed->argument_count++] = word;
		else if (strcmp(word, "--") == 0)
			ended = true;
		else if (word[1] == '-')
			rc = parse_long(&cursor, word, parsed);
		else
			rc = parse_short(&cursor, word, parsed);
		if (rc != RMD_EXIT_OK)
			return rc;
	}
	if (parsed->help_wanted)
		return RMD_EXIT_OK;
	return check_count(command, parsed->argument_count, parsed->arguments);
}

void rmd_options_fini(const struct rmd_command *command,
		      struct rmd_options_parsed *parsed)
{
	for (size_t i = 0; parsed->settings != NULL && i < command->option_count; i++) {
		const struct rmd_option *option = &command->options[i];

		if (option->kind == RMD_OPTION_TEXTS ||
		    option->kind == RMD_OPTION_FILES) {
			struct rmd_option_texts *texts =
				(void *)((char *)parsed->settings + option->offset);
			rmd_free(texts->items);
		}
	}
	rmd_free(parsed->settings);
	rmd_free(parsed->arguments);
	*parsed = (struct rmd_options_parsed){0};
}
