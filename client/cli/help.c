#include "client/cli/help.h"

#include <string.h>

#include "client/cli/command.h"

#define WIDTH 80u
#define OPTION_INDENT 24u

const char rmd_help_tagline[] =
	"runs functions on a pool of worker processes, on this machine or a cluster";

/* Writes `text` in lines of at most WIDTH columns, the first beginning at `column`,
 * the others indented by `indent`. Paragraphs ("\n\n") stay apart. Bytes count as
 * columns: our texts are ASCII. */
static void write_wrapped(const char *text, size_t column, size_t indent, FILE *out)
{
	while (*text != 0) {
		size_t len = strcspn(text, " \n");

		if (column > indent && column + 1 + len > WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		fwrite(text, 1, len, out);
		column += len;
		text += len;
		if (strncmp(text, "\n\n", 2) == 0) {
			fprintf(out, "\n\n%*s", (int)indent, "");
			column = indent;
		}
		text += strspn(text, " \n");
	}
	fputc('\n', out);
}

/* "  -r, --raw" or "      --spread", and its value. */
static void write_option(const struct rmd_option *option, FILE *out)
{
	char left[64];
	int len;

	if (option->letter != 0)
		len = snprintf(left, sizeof left, "  -%c, --%s", option->letter,
			       option->name);
	else
		len = snprintf(left, sizeof left, "      --%s", option->name);
	if (rmd_option_takes_value(option))
		len += snprintf(left + len, sizeof left - (size_t)len, " %s",
				option->metavar);
	fputs(left, out);
	if ((size_t)len + 2 > OPTION_INDENT)
		fprintf(out, "\n%*s", (int)OPTION_INDENT, "");
	else
		fprintf(out, "%*s", (int)OPTION_INDENT - len, "");
	write_wrapped(option->help, OPTION_INDENT, OPTION_INDENT, out);
}

void rmd_help_program(FILE *out)
{
	fprintf(out, "remuda: %s\n\nusage: remuda COMMAND [OPTION...] [ARGUMENT...]\n\n",
		rmd_help_tagline);
	for (size_t i = 0; rmd_commands[i] != NULL; i++) {
		const struct rmd_command *command = rmd_commands[i];

		if (!command->hidden)
			fprintf(out, "  %-13s %s\n", command->name, command->summary);
	}
	fputs("\n"
	      "  remuda run native:demo.square 21\n"
	      "  find . -name '*.c' | remuda map -r native:files.sha256\n"
	      "\n"
	      "'remuda help COMMAND' tells more; 'man remuda' tells all.\n",
	      out);
}

void rmd_help_command(const struct rmd_command *command, FILE *out)
{
	fprintf(out, "usage: remuda %s%s%s%s\n\n", command->name,
		command->option_count > 0 ? " [OPTION...]" : "",
		*command->arguments != 0 ? " " : "", command->arguments);
	write_wrapped(command->description, 0, 0, out);
	if (command->option_count > 0)
		fputs("\nOptions:\n", out);
	for (size_t i = 0; i < command->option_count; i++)
		write_option(&command->options[i], out);
	if (command->examples == NULL)
		return;
	fputs("\nExamples:\n", out);
	for (const char *line = command->examples; *line != 0;) {
		size_t len = strcspn(line, "\n");

		fprintf(out, "  %.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
}
