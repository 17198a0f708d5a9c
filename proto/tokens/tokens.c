#include "proto/tokens/tokens.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define SOURCE "security"
#define LINE_MAX_BYTES 256u
#define LOOK_EVERY_MS 1000u
#define DAY_S 86400

struct list {
	struct rmd_token *items; /* owned */
	size_t count, capacity;
};

struct rmd_tokens {
	char *path;
	struct list list;
	struct stat seen; /* the file as it was read, or found wrong */
	uint64_t looked_ms;
};

/* ---- reading ---- */

bool rmd_token_name_ok(const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
			return false;
	return len > 0 && len <= RMD_TOKEN_NAME_MAX_BYTES;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c == '\0' ? NULL : strchr(digits, c);
	return at == NULL ? -1 : (int)(at - digits);
}

static bool read_digest(const char *text, struct rmd_digest *ret_digest)
{
	if (strlen(text) != RMD_DIGEST_HEX_BYTES - 1)
		return false;
	for (size_t i = 0; i < RMD_DIGEST_BYTES; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		ret_digest->bytes[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

static bool read_day(const char *text, time_t *ret_until)
{
	struct tm tm = {0};
	char rest;
	*ret_until = 0;
	if (strcmp(text, "never") == 0)
		return true;
	if (strlen(text) != 10 || sscanf(text, "%4d-%2d-%2d%c", &tm.tm_year, &tm.tm_mon,
					 &tm.tm_mday, &rest) != 3)
		return false;
	struct tm wanted = tm;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	time_t day = timegm(&tm);
	*ret_until = day + DAY_S;
	/* timegm makes February 31 a day in March. */
	return tm.tm_year == wanted.tm_year - 1900 && tm.tm_mon == wanted.tm_mon - 1 &&
	       tm.tm_mday == wanted.tm_mday && day > 0;
}

/* What is wrong with the words of a line; NULL: nothing. */
static const char *read_words(char *words[4], size_t count, struct rmd_token *ret_token)
{
	if (count != 3)
		return "is not NAME SHA256 EXPIRES";
	if (!rmd_token_name_ok(words[0]))
		return "has a name that is not 1 to 64 of [A-Za-z0-9._-]";
	if (!read_digest(words[1], &ret_token->digest))
		return "has a digest that is not 64 hex digits, lower case";
	if (!read_day(words[2], &ret_token->until))
		return "has an end that is neither YYYY-MM-DD nor never";
	memcpy(ret_token->name, words[0], strlen(words[0]) + 1);
	return NULL;
}

static int append(struct list *list, const struct rmd_token *token)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
		struct rmd_token *grown =
			rmd_realloc(list->items, capacity * sizeof *grown);
		if (grown == NULL)
			return RMD_ENOMEM;
		list->items = grown;
		list->capacity = capacity;
	}
	list->items[list->count++] = *token;
	return 0;
}

static const char *read_line(char *line, struct list *list, int *ret_code)
{
	char *words[4], *rest = NULL;
	size_t count = 0;
	struct rmd_token token = {.name = ""};
	*ret_code = 0;
	if (strchr(line, '\n') == NULL && strlen(line) == LINE_MAX_BYTES - 1)
		return "is too long";
	for (char *word = strtok_r(line, " \t\r\n", &rest); word != NULL && count < 4;
	     word = strtok_r(NULL, " \t\r\n", &rest))
		words[count++] = word;
	if (count == 0 || words[0][0] == '#')
		return NULL;
	if (list->count == RMD_TOKENS_MAX)
		return "is one too many: 10000 tokens are the most";
	const char *wrong = read_words(words, count, &token);
	if (wrong == NULL)
		*ret_code = append(list, &token);
	return wrong;
}

static int read_file(const char *path, struct list *ret_list, struct stat *ret_seen,
		     char **ret_why)
{
	char line[LINE_MAX_BYTES];
	int code = 0;
	struct list list = {0};
	const char *wrong = NULL;
	unsigned number = 0;
	FILE *file = fopen(path, "re");
	*ret_why = NULL;
	if (file == NULL || fstat(fileno(file), ret_seen) < 0) {
		*ret_why = rmd_asprintf("cannot read the tokens' file %s: %s", path,
					strerror(errno));
		if (file != NULL)
			fclose(file);
		return RMD_EINVAL;
	}
	while (wrong == NULL && code == 0 && fgets(line, sizeof line, file) != NULL) {
		number++;
		wrong = read_line(line, &list, &code);
	}
	fclose(file);
	if (wrong != NULL) {
		*ret_why = rmd_asprintf("%s:%u: this line %s", path, number, wrong);
		code = RMD_EINVAL;
	}
	if (code < 0)
		rmd_free(list.items);
	else
		*ret_list = list;
	return code;
}

int rmd_tokens_open(const char *path, struct rmd_tokens **ret_tokens, char **ret_why)
{
	struct rmd_tokens *tokens = rmd_calloc(1, sizeof *tokens);
	int code = RMD_ENOMEM;
	*ret_why = NULL;
	if (tokens != NULL)
		tokens->path = rmd_strdup(path);
	if (tokens != NULL && tokens->path != NULL)
		code = read_file(path, &tokens->list, &tokens->seen, ret_why);
	if (code < 0) {
		rmd_tokens_close(tokens);
		return code;
	}
	*ret_tokens = tokens;
	return 0;
}

void rmd_tokens_close(struct rmd_tokens *tokens)
{
	if (tokens == NULL)
		return;
	rmd_free(tokens->list.items);
	rmd_free(tokens->path);
	rmd_free(tokens);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
	       a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void rmd_tokens_look_again(struct rmd_tokens *tokens, uint64_t now_ms)
{
	struct stat now = {0};
	struct list list;
	char *why = NULL;
	if (now_ms - tokens->looked_ms < LOOK_EVERY_MS)
		return;
	tokens->looked_ms = now_ms;
	(void)stat(tokens->path, &now); /* none at all: zeroes, which differ too */
	if (same_file(&now, &tokens->seen))
		return;
	int code = read_file(tokens->path, &list, &now, &why);
	tokens->seen = now;
	if (code < 0) {
		rmd_log(RMD_LOG_ERROR, SOURCE, "%s; the tokens stay as they were",
			why != NULL ? why : rmd_errcode_text(code));
		rmd_free(why);
		return;
	}
	rmd_free(tokens->list.items);
	tokens->list = list;
	rmd_log(RMD_LOG_INFO, SOURCE, "%s: %zu tokens", tokens->path, list.count);
}

/* ---- asking ---- */

enum rmd_token_answer rmd_tokens_find(const struct rmd_tokens *tokens,
				      struct rmd_slice text, time_t now,
				      const char **ret_name)
{
	struct rmd_digest digest;
	const struct rmd_token *found = NULL;
	*ret_name = NULL;
	if (rmd_digest_of(text, &digest) < 0)
		return RMD_TOKEN_UNKNOWN;
	for (size_t i = 0; i < tokens->list.count; i++)
		if (CRYPTO_memcmp(digest.bytes, tokens->list.items[i].digest.bytes,
				  RMD_DIGEST_BYTES) == 0)
			found = &tokens->list.items[i];
	if (found == NULL)
		return RMD_TOKEN_UNKNOWN;
	*ret_name = found->name;
	return found->until != 0 && now >= found->until ? RMD_TOKEN_EXPIRED
							: RMD_TOKEN_GOOD;
}

const struct rmd_token *rmd_tokens_at(const struct rmd_tokens *tokens, size_t index)
{
	return index < tokens->list.count ? &tokens->list.items[index] : NULL;
}

/* ---- making ---- */

void rmd_token_create(char ret_text[RMD_TOKEN_BYTES], struct rmd_digest *ret_digest)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t secret[33]; /* 32, and one of which four bits count as 0 */
	rmd_random_bytes(secret, 32);
	secret[32] = 0;
	memcpy(ret_text, "rmd_", 4);
	for (size_t i = 0; i < 43; i++) {
		size_t bit = i * 6;
		unsigned two = (unsigned)secret[bit / 8] << 8;
		if (bit / 8 + 1 < sizeof secret)
			two |= secret[bit / 8 + 1];
		ret_text[4 + i] = letters[two >> (10 - bit % 8) & 63];
	}
	ret_text[47] = '\0';
	explicit_bzero(secret, sizeof secret);
	if (rmd_digest_of(rmd_slice_of_string(ret_text), ret_digest) < 0)
		*ret_digest = (struct rmd_digest){{0}};
}
