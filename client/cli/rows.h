/* client/cli/rows.h: lists, as an aligned table or as JSON.
 *
 * A list is a table of columns and rows of cells, put in column by column; the same
 * puts write one JSON object a line with --json. Text of peers is made harmless:
 * control characters show as \xNN. Shortage of memory shows at finish. Main thread
 * only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum rmd_column_kind {
	RMD_COLUMN_TEXT,
	RMD_COLUMN_NUMBER,
	RMD_COLUMN_LIMIT,   /* a number; 0 is "auto" in the table */
	RMD_COLUMN_SPAN,    /* milliseconds; "1.2 s" in the table */
	RMD_COLUMN_BYTES,   /* "1.5 MiB" in the table */
	RMD_COLUMN_BOOLEAN, /* "yes" or "no" in the table */
};

struct rmd_column {
	const char *title; /* "AGE"; NULL: only in JSON */
	const char *key;   /* "age_ms"; NULL: only in the table */
	enum rmd_column_kind kind;
};

struct rmd_rows {
	const struct rmd_column *columns; /* borrowed */
	size_t column_count;
	bool json;
	bool failed; /* memory ran out */
	size_t at;   /* the next column */
	size_t row_count;
	char **cells; /* owned: row by row, the table only */
	size_t cell_count, cell_capacity;
	bool first; /* of the present JSON object */
	FILE *out;
};

void rmd_rows_init(struct rmd_rows *rows, const struct rmd_column *columns, size_t count,
		   bool json, FILE *out);
/* Each puts the next cell; `kind` of its column must fit. NULL text: "". */
void rmd_rows_text(struct rmd_rows *rows, const char *text);
void rmd_rows_number(struct rmd_rows *rows, uint64_t number);
void rmd_rows_boolean(struct rmd_rows *rows, bool boolean);
/* Writes the table (title line included, if it has rows), frees everything. Gives an
 * enum rmd_exit. */
int rmd_rows_finish(struct rmd_rows *rows);
/* Writes the rows one under another, "TITLE  cell": for a list of one. Frees
 * everything. */
int rmd_rows_finish_upright(struct rmd_rows *rows);

/* Writes `text` as a JSON string with its quotes; what is not UTF-8 becomes U+FFFD. */
void rmd_rows_write_json_text(const char *text, size_t len, FILE *out);
/* Gives `text` with control characters and what is not UTF-8 as \xNN (free with
 * rmd_free), or NULL. */
char *rmd_rows_harmless(const char *text);
/* "950 ms", "1.2 s", "3 min 5 s", "2 h 10 min", "4 d 3 h". */
void rmd_rows_format_span(uint64_t ms, char ret_text[32]);
/* "512 B", "1.5 KiB", "3.0 GiB". */
void rmd_rows_format_bytes(uint64_t bytes, char ret_text[32]);
