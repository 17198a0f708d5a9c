#include "client/cli/manual.h"

#include <string.h>

#include "client/cli/command.h"
#include "client/cli/exit.h"
#include "client/cli/help.h"

#define LINE_COLUMNS 78u

/* Writes one word, roff's own characters escaped. Gives its columns. */
static size_t write_word(const char *word, size_t len, FILE *out)
{
	size_t columns = 0;

	for (size_t i = 0; i < len; i++) {
		const char *escaped = word[i] == '\\'	? "\\e"
				      : word[i] == '-'	? "\\-"
				      : word[i] == '\'' ? "\\(aq"
							: NULL;
		if (escaped != NULL)
			columns += (size_t)fprintf(out, "%s", escaped);
		else
			columns += fputc(word[i], out) != EOF;
	}
	return columns;
}

/* Writes running text: a sentence begins a line of input, "\n\n" is a paragraph. What
 * would be a control character at the beginning of a line has "\&" before it. */
static void write_text(const char *text, FILE *out)
{
	size_t column = 0;

	while (*text != 0) {
		size_t len = strcspn(text, " \n");

		if (column > 0 && column + 1 + len > LINE_COLUMNS) {
			fputc('\n', out);
			column = 0;
		}
		if (column > 0)
			column += fputc(' ', out) != EOF;
		else if (*text == '.' || *text == '\'')
			fputs("\\&", out);
		column += write_word(text, len, out);
		text += len;
		if (strncmp(text, "\n\n", 2) == 0)
			fputs("\n.Pp\n", out);
		else if (*text == 0 || strchr(".?!", text[-1]) != NULL)
			fputc('\n', out);
		else {
			text += strspn(text, " \n");
			continue;
		}
		column = 0;
		text += strspn(text, " \n");
	}
}

/* ".It Fl r , Fl -raw" and the value's name. */
static void write_option(const struct rmd_option *option, FILE *out)
{
	fputs(".It ", out);
	if (option->letter != 0)
		fprintf(out, "Fl %c , ", option->letter);
	fprintf(out, "Fl -%s", option->name);
	if (rmd_option_takes_value(option))
		fprintf(out, " Ar %s", option->metavar);
	fputc('\n', out);
	write_text(option->help, out);
}

static void write_usage(const struct rmd_command *command, FILE *out)
{
	fprintf(out, ".Nm remuda\n.Cm %s\n", command->name);
	if (command->option_count > 0)
		fputs(".Op Ar option ...\n", out);
	if (*command->arguments != 0)
		fprintf(out, ".Ar %s\n", command->arguments);
}

static void write_examples(const char *examples, FILE *out)
{
	fputs(".Bd -literal -offset indent\n", out);
	for (const char *line = examples; *line != 0;) {
		size_t len = strcspn(line, "\n");

		write_word(line, len, out);
		fputc('\n', out);
		line += len + (line[len] == '\n');
	}
	fputs(".Ed\n", out);
}

static void write_command(const struct rmd_command *command, FILE *out)
{
	fprintf(out, ".Ss remuda %s\n", command->name);
	write_usage(command, out);
	fputs(".Pp\n", out);
	write_text(command->description, out);
	if (command->option_count > 0) {
		fputs(".Bl -tag -width Ds\n", out);
		for (size_t i = 0; i < command->option_count; i++)
			write_option(&command->options[i], out);
		fputs(".El\n", out);
	}
	if (command->examples != NULL)
		write_examples(command->examples, out);
}

static void write_exits(FILE *out)
{
	fputs(".Sh EXIT STATUS\n.Bl -tag -width 130\n", out);
#define X(name, number, text)             \
	fprintf(out, ".It %d\n", number); \
	write_text(text, out);
	RMD_EXITS(X)
#undef X
	fputs(".El\n", out);
}

static void write_surroundings(FILE *out)
{
	fputs(".Sh ENVIRONMENT\n"
	      ".Bl -tag -width Ds\n"
	      ".It Ev REMUDA_ADDRESS\n"
	      "Address of the coordinator, where\n.Fl -address\nis not given.\n"
	      ".It Ev REMUDA_CA , REMUDA_TLS\n"
	      "TLS to a coordinator elsewhere: the file of authorities that are trusted, in\n"
	      "PEM form; or 1, for the system's.\n"
	      ".It Ev REMUDA_CERT , REMUDA_KEY\n"
	      "Our own certificate and its private key, where the coordinator wants one.\n"
	      ".It Ev REMUDA_TLS_NAME\n"
	      "What its certificate is for, where that is not the host of its address.\n"
	      ".It Ev REMUDA_TOKEN_FILE , REMUDA_TOKEN\n"
	      "The file whose first line is the token that goes with each call; or that\n"
	      "token.\n"
	      ".It Ev REMUDA_MODULE_PATH\n"
	      "Folders, separated by colons, in which workers look for a module that was\n"
	      "neither given nor pushed, before they look where\n.Sx FILES\nsays.\n"
	      "It counts where the workers are started.\n"
	      ".It Ev REMUDA_SERVER\n"
	      "The program to start as coordinator, instead of the\n.Xr remudad 8\n"
	      "beside this program or in\n.Ev PATH .\n"
	      ".It Ev XDG_RUNTIME_DIR\n"
	      "Where the run folder\n.Pa remuda\nlies.\n"
	      "Unset:\n.Pa /tmp/remuda\\-UID .\n"
	      ".El\n"
	      ".Sh FILES\n"
	      ".Bl -tag -width Ds\n"
	      ".It Pa PREFIX/lib/remuda/modules/NAME.so\n"
	      "The module of\n.Li native:NAME.FUNCTION ,\n"
	      "where none of that name was given or pushed.\n"
	      ".It Pa $XDG_RUNTIME_DIR/remuda/up.sock\n"
	      "Where the coordinator of\n.Nm Cm up\nlistens.\n"
	      "The folder is its owner\\(aqs alone.\n"
	      ".It Pa $XDG_RUNTIME_DIR/remuda/up.log\n"
	      "What that coordinator writes.\n"
	      ".El\n",
	      out);
}

static void write_see_also(FILE *out)
{
	fputs(".Sh SEE ALSO\n"
	      ".Xr remuda-agent 8 ,\n"
	      ".Xr remudad 8\n",
	      out);
}

static const char arguments_text[] =
	"One argument of 'run' and one line of 'map' is one argument of the function. "
	"It is JSON where it parses as JSON and the function does not ask for a string "
	"there, else "
	"text: 21 is a number, [1, 2] a list, notes.txt and \"21\" are strings; but a "
	"file called 21 "
	"is found. With -R it is always text. Text that is not valid UTF-8 is sent as "
	"bytes. With --spread it must be a JSON array, whose items are the arguments.\n\n"
	"Results are printed as JSON, one a line. What JSON has no word for is an object "
	"with "
	"one key that begins with a dollar sign, such as {\"$bytes\": \"AAEC\"}; the "
	"same "
	"form is understood in arguments.";

void rmd_manual_write(FILE *out)
{
	fprintf(out,
		".\\\" Written by 'remuda __man' from the table of commands.\n"
		".Dd November 22, 2026\n.Dt REMUDA 1\n.Os\n"
		".Sh NAME\n.Nm remuda\n.Nd %s\n.Sh SYNOPSIS\n",
		rmd_help_tagline);
	for (size_t i = 0; rmd_commands[i] != NULL; i++)
		if (!rmd_commands[i]->hidden)
			write_usage(rmd_commands[i], out);
	fprintf(out, ".Sh DESCRIPTION\n.Nm\n%s.\n.Pp\n", rmd_help_tagline);
	write_text("A function is named RUNTIME:NAME, as in native:demo.square: the "
		   "function square of the module demo. Where no coordinator is named or up, "
		   "'run' and 'map' start a private one, which ends with them.",
		   out);
	fputs(".Ss Arguments and results\n", out);
	write_text(arguments_text, out);
	fputs(".Sh COMMANDS\n", out);
	for (size_t i = 0; rmd_commands[i] != NULL; i++)
		if (!rmd_commands[i]->hidden)
			write_command(rmd_commands[i], out);
	write_surroundings(out);
	write_exits(out);
	write_see_also(out);
}
