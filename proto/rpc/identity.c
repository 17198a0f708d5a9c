#include "proto/rpc/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

enum text { CA, CERT, KEY, NAME, TOKEN };

/* What the user said, else the environment; an empty one is none. */
static const char *said(const char *given, const char *variable)
{
	const char *text = given != NULL ? given : getenv(variable);
	return text != NULL && *text != '\0' ? text : NULL;
}

static int read_token(const char *path, char **ret_token, char **ret_why)
{
	char line[RMD_TOKEN_MAX_BYTES + 2];
	struct stat stat;
	FILE *file = fopen(path, "re");
	if (file == NULL || fstat(fileno(file), &stat) < 0) {
		*ret_why = rmd_asprintf("cannot read the token's file %s: %s", path,
					strerror(errno));
		if (file != NULL)
			fclose(file);
		return RMD_EINVAL;
	}
	bool open_to_all = S_ISREG(stat.st_mode) && (stat.st_mode & S_IROTH) != 0;
	bool any = fgets(line, sizeof line, file) != NULL;
	fclose(file);
	if (open_to_all)
		*ret_why = rmd_asprintf("the token's file %s can be read by everybody: "
					"chmod o-r it, and take another token",
					path);
	else if (!any)
		*ret_why = rmd_asprintf("the token's file %s is empty", path);
	else
		*ret_token = rmd_strndup(line, strcspn(line, "\r\n"));
	explicit_bzero(line, sizeof line);
	if (open_to_all || !any)
		return RMD_EINVAL;
	return *ret_token == NULL ? RMD_ENOMEM : 0;
}

static int find_token(const struct rmd_identity_options *options, char **ret_token,
		      char **ret_why)
{
	const char *token = said(options->token, "REMUDA_TOKEN");
	const char *path = said(options->token_file, "REMUDA_TOKEN_FILE");
	if (path != NULL && options->token == NULL)
		return read_token(path, ret_token, ret_why);
	if (token == NULL)
		return 0;
	*ret_token = rmd_strdup(token);
	return *ret_token == NULL ? RMD_ENOMEM : 0;
}

int rmd_identity_load(const struct rmd_identity_options *options,
		      struct rmd_identity *ret_identity, char **ret_why)
{
	const char *given[] = {said(options->ca_file, "REMUDA_CA"),
			       said(options->cert_file, "REMUDA_CERT"),
			       said(options->key_file, "REMUDA_KEY"),
			       said(options->server_name, "REMUDA_TLS_NAME")};
	struct rmd_identity identity = {0};
	const char *tls = getenv("REMUDA_TLS");
	*ret_why = NULL;
	for (size_t i = 0; i < TOKEN; i++)
		if (given[i] != NULL &&
		    (identity.texts[i] = rmd_strdup(given[i])) == NULL) {
			rmd_identity_fini(&identity);
			return RMD_ENOMEM;
		}
	int code = find_token(options, &identity.texts[TOKEN], ret_why);
	if (code < 0) {
		rmd_identity_fini(&identity);
		return code;
	}
	identity.tls = (struct rmd_tls){.ca_file = identity.texts[CA],
					.cert_file = identity.texts[CERT],
					.key_file = identity.texts[KEY],
					.server_name = identity.texts[NAME]};
	identity.token = identity.texts[TOKEN];
	identity.secure = options->tls || given[CA] != NULL || given[CERT] != NULL ||
			  (tls != NULL && strcmp(tls, "1") == 0);
	*ret_identity = identity;
	return 0;
}

void rmd_identity_fini(struct rmd_identity *identity)
{
	char *token = identity->texts[TOKEN];
	if (token != NULL)
		explicit_bzero(token, strlen(token));
	for (size_t i = 0; i <= TOKEN; i++)
		rmd_free(identity->texts[i]);
	*identity = (struct rmd_identity){0};
}

struct rmd_channel *rmd_identity_open(const struct rmd_identity *identity,
				      struct rmd_loop *loop, const char *address,
				      char **ret_why)
{
	struct rmd_channel_options options = {.tls = identity->secure ? &identity->tls
								      : NULL,
					      .token = identity->token};
	return rmd_channel_open_with(loop, address, &options, ret_why);
}
