#include "client/cli/nearest.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX 64u

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t rmd_nearest_distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1]; /* of the matrix: i-2, i-1, i, in turn */
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *row = rows[i % 3], *up = rows[(i + 2) % 3],
		       *upper = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t change = up[j - 1] + (a[i - 1] != b[j - 1]);

			row[j] = least(change, least(up[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = least(row[j], upper[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

void rmd_nearest_offer(struct rmd_nearest *search, const char *candidate)
{
	size_t word_len = strlen(search->word), len = strlen(candidate);
	size_t longer = word_len > len ? word_len : len;
	size_t distance = rmd_nearest_distance(search->word, candidate);

	if (distance == SIZE_MAX || word_len == 0)
		return;
	if (distance > (longer < 6 ? 1 : longer / 3) &&
	    strncmp(search->word, candidate, least(word_len, len)) != 0)
		return;
	if (search->best == NULL || distance < search->distance) {
		search->best = candidate;
		search->distance = distance;
	}
}
