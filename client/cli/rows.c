#include "client/cli/rows.h"

#include <inttypes.h>
#include <string.h>

#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/codec/wire.h"

void rmd_rows_format_span(uint64_t ms, char ret_text[32])
{
	uint64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(ret_text, 32, "%" PRIu64 " ms", ms);
	else if (s < 60)
		snprintf(ret_text, 32, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
	else if (s < 3600)
		snprintf(ret_text, 32, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(ret_text, 32, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
			 s % 3600 / 60);
	else
		snprintf(ret_text, 32, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
			 s % 86400 / 3600);
}

void rmd_rows_format_bytes(uint64_t bytes, char ret_text[32])
{
	static const char *const units[] = {"B",   "KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB"};
	double number = (double)bytes;
	size_t unit = 0;

	for (; number >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
		number /= 1024;
	snprintf(ret_text, 32, unit == 0 ? "%.0f %s" : "%.1f %s", number, units[unit]);
}

/* Length of the UTF-8 character at `text`, or 0: there is none. */
static size_t character_len(const char *text, size_t len)
{
	unsigned char c = (unsigned char)*text;
	size_t want = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return want <= len && rmd_wire_utf8_valid(rmd_slice_of(text, want)) ? want : 0;
}

char *rmd_rows_harmless(const char *text)
{
	size_t len = strlen(text), at = 0;
	char *harmless = rmd_malloc(len * 4 + 1), *out = harmless;

	while (harmless != NULL && at < len) {
		size_t step = character_len(text + at, len - at);
		unsigned char c = (unsigned char)text[at];
		bool control =
			c < 0x20 || c == 0x7f || /* C0, DEL; C1 is U+0080 to U+009F */
			(step == 2 && c == 0xc2 && (unsigned char)text[at + 1] < 0xa0);

		if (step == 0 || control) {
			out += sprintf(out, "\\x%02x", c);
			at++;
			continue;
		}
		memcpy(out, text + at, step);
		out += step;
		at += step;
	}
	if (harmless != NULL)
		*out = 0;
	return harmless;
}

void rmd_rows_write_json_text(const char *text, size_t len, FILE *out)
{
	fputc('"', out);
	while (len > 0) {
		size_t step = character_len(text, len);
		unsigned char c = (unsigned char)*text;

		if (step == 0)
			fputs("\xef\xbf\xbd", out);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fwrite(text, 1, step, out);
		text += step == 0 ? 1 : step;
		len -= step == 0 ? 1 : step;
	}
	fputc('"', out);
}

void rmd_rows_init(struct rmd_rows *rows, const struct rmd_column *columns, size_t count,
		   bool json, FILE *out)
{
	*rows = (struct rmd_rows){
		.columns = columns,
		.column_count = count,
		.json = json,
		.first = true,
		.out = out,
	};
}

/* The next column. In JSON, where it is shown: writes its key, and "{" or "}" around a
 * row. */
static const struct rmd_column *next_column(struct rmd_rows *rows)
{
	const struct rmd_column *column = &rows->columns[rows->at];

	if (rows->at == 0)
		rows->first = true;
	if (rows->json && column->key != NULL) {
		fprintf(rows->out, "%s\"%s\": ", rows->first ? "{" : ", ", column->key);
		rows->first = false;
	}
	return column;
}

static void end_cell(struct rmd_rows *rows)
{
	if (++rows->at < rows->column_count)
		return;
	rows->at = 0;
	rows->row_count++;
	if (rows->json)
		fputs("}\n", rows->out);
}

/* Keeps a cell of the table; `text` NULL: memory ran out. Takes it. */
static void keep(struct rmd_rows *rows, char *text)
{
	if (text != NULL && rows->cell_count == rows->cell_capacity) {
		size_t capacity = rows->cell_capacity == 0 ? 64 : rows->cell_capacity * 2;
		char **cells = rmd_realloc(rows->cells, capacity * sizeof *cells);

		if (cells == NULL) {
			rmd_free(text);
			text = NULL;
		} else {
			rows->cells = cells;
			rows->cell_capacity = capacity;
		}
	}
	if (text != NULL)
		rows->cells[rows->cell_count++] = text;
	else
		rows->failed = true;
}

void rmd_rows_text(struct rmd_rows *rows, const char *text)
{
	const struct rmd_column *column = next_column(rows);

	RMD_CHECK(column->kind == RMD_COLUMN_TEXT);
	if (text == NULL)
		text = "";
	if (rows->json && column->key != NULL)
		rmd_rows_write_json_text(text, strlen(text), rows->out);
	else if (!rows->json)
		keep(rows, rmd_rows_harmless(text));
	end_cell(rows);
}

void rmd_rows_number(struct rmd_rows *rows, uint64_t number)
{
	const struct rmd_column *column = next_column(rows);
	char text[32];

	if (rows->json && column->key != NULL)
		fprintf(rows->out, "%" PRIu64, number);
	if (column->kind == RMD_COLUMN_SPAN)
		rmd_rows_format_span(number, text);
	else if (column->kind == RMD_COLUMN_BYTES)
		rmd_rows_format_bytes(number, text);
	else if (column->kind == RMD_COLUMN_LIMIT && number == 0)
		snprintf(text, sizeof text, "auto");
	else
		snprintf(text, sizeof text, "%" PRIu64, number);
	if (!rows->json)
		keep(rows, rmd_strdup(text));
	end_cell(rows);
}

void rmd_rows_boolean(struct rmd_rows *rows, bool boolean)
{
	const struct rmd_column *column = next_column(rows);

	RMD_CHECK(column->kind == RMD_COLUMN_BOOLEAN);
	if (rows->json && column->key != NULL)
		fputs(boolean ? "true" : "false", rows->out);
	else if (!rows->json)
		keep(rows, rmd_strdup(boolean ? "yes" : "no"));
	end_cell(rows);
}

/* Columns that UTF-8 text takes, one a character. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text != 0; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void write_padded(const char *text, size_t width, bool right, bool last, FILE *out)
{
	int padding = (int)(width - width_of(text));

	if (right)
		fprintf(out, "%*s%s", padding, "", text);
	else if (last)
		fputs(text, out);
	else
		fprintf(out, "%s%*s", text, padding, "");
	fputs(last ? "\n" : "  ", out);
}

static void free_cells(struct rmd_rows *rows)
{
	for (size_t i = 0; i < rows->cell_count; i++)
		rmd_free(rows->cells[i]);
	rmd_free(rows->cells);
	rows->cells = NULL;
	rows->cell_count = 0;
}

static int finish(struct rmd_rows *rows)
{
	free_cells(rows);
	return rows->failed ? rmd_report_no_memory() : RMD_EXIT_OK;
}

int rmd_rows_finish(struct rmd_rows *rows)
{
	size_t widths[32] = {0}, count = rows->column_count, last = 0;

	RMD_CHECK(count <= sizeof widths / sizeof *widths && rows->at == 0);
	if (rows->json || rows->failed || rows->row_count == 0)
		return finish(rows);
	for (size_t i = 0; i < count; i++) {
		if (rows->columns[i].title == NULL)
			continue;
		last = i;
		widths[i] = strlen(rows->columns[i].title);
		for (size_t row = 0; row < rows->row_count; row++) {
			size_t width = width_of(rows->cells[row * count + i]);
			widths[i] = width > widths[i] ? width : widths[i];
		}
	}
	for (size_t row = 0; row <= rows->row_count; row++) {
		for (size_t i = 0; i < count; i++) {
			const struct rmd_column *column = &rows->columns[i];
			bool right = column->kind != RMD_COLUMN_TEXT &&
				     column->kind != RMD_COLUMN_BOOLEAN;

			if (column->title != NULL)
				write_padded(row == 0
						     ? column->title
						     : rows->cells[(row - 1) * count + i],
					     widths[i], right, i == last, rows->out);
		}
	}
	return finish(rows);
}

int rmd_rows_finish_upright(struct rmd_rows *rows)
{
	size_t width = 0, count = rows->column_count;

	if (rows->json || rows->failed)
		return finish(rows);
	for (size_t i = 0; i < count; i++)
		if (rows->columns[i].title != NULL &&
		    strlen(rows->columns[i].title) > width)
			width = strlen(rows->columns[i].title);
	for (size_t i = 0; i < rows->cell_count; i++)
		if (rows->columns[i % count].title != NULL)
			fprintf(rows->out, "%-*s  %s\n", (int)width,
				rows->columns[i % count].title, rows->cells[i]);
	return finish(rows);
}
