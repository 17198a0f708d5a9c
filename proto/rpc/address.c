#include "proto/rpc/address.h"

#include <ctype.h>
#include <string.h>
#include <sys/un.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

/* A socket's path is so long at most, without its NUL. */
#define PATH_MAX_BYTES (sizeof((struct sockaddr_un *)0)->sun_path - 1)
#define HOST_MAX_BYTES 253u

static int refuse(char **ret_why, char *why)
{
	*ret_why = why;
	return why == NULL ? RMD_ENOMEM : RMD_EINVAL;
}

static int parse_unix(const char *text, const char *path, struct rmd_address *ret_address,
		      char **ret_why)
{
	if (strncmp(path, "///", 3) == 0) /* as other programs write it */
		path += 2;
	size_t len = strlen(path);
	if (len == 0)
		return refuse(
			ret_why,
			rmd_asprintf("\"%s\" names no path: write unix:PATH", text));
	if (len > PATH_MAX_BYTES)
		return refuse(
			ret_why,
			rmd_asprintf("%s: the path has %zu bytes, a socket's may have "
				     "%zu: choose a shorter one",
				     text, len, PATH_MAX_BYTES));
	char *place = rmd_strdup(path);
	if (place == NULL)
		return refuse(ret_why, NULL);
	*ret_address = (struct rmd_address){.kind = RMD_ADDRESS_UNIX, .place = place};
	return 0;
}

/* A decimal number up to 65535, and nothing else. */
static int parse_port(const char *text, uint16_t *ret_port)
{
	unsigned long port = 0;
	if (*text == '\0' || strlen(text) > 5)
		return RMD_EINVAL;
	for (; *text != '\0'; text++) {
		if (!isdigit((unsigned char)*text))
			return RMD_EINVAL;
		port = port * 10 + (unsigned long)(*text - '0');
	}
	if (port > UINT16_MAX)
		return RMD_EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

static int parse_host(const char *text, const char *rest, struct rmd_address *ret_address,
		      char **ret_why)
{
	const char *host = rest, *colon = strrchr(rest, ':');
	if (colon == NULL)
		return refuse(
			ret_why,
			rmd_asprintf("%s: the port is missing: write HOST:PORT", text));
	size_t host_len = (size_t)(colon - rest);
	if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
		host++;
		host_len -= 2;
	} else if (memchr(host, ':', host_len) != NULL) {
		return refuse(ret_why,
			      rmd_asprintf("%s: write an IPv6 address in brackets: "
					   "[ADDRESS]:PORT",
					   text));
	}
	if (host_len == 0 || host_len > HOST_MAX_BYTES ||
	    memchr(host, '/', host_len) != NULL)
		return refuse(ret_why,
			      rmd_asprintf("%s: the host is missing or wrong: write "
					   "HOST:PORT",
					   text));
	uint16_t port;
	if (parse_port(colon + 1, &port) < 0)
		return refuse(
			ret_why,
			rmd_asprintf("%s: the port \"%s\" is not a number from 0 to "
				     "65535",
				     text, colon + 1));
	char *place = rmd_strndup(host, host_len);
	if (place == NULL)
		return refuse(ret_why, NULL);
	ret_address->place = place;
	ret_address->port = port;
	return 0;
}

int rmd_address_parse(const char *text, struct rmd_address *ret_address, char **ret_why)
{
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text, text + 5, ret_address, ret_why);
	struct rmd_address address = {.kind = RMD_ADDRESS_TCP};
	const char *rest = text + 4;
	if (strncmp(text, "dns:///", 7) == 0) {
		address.kind = RMD_ADDRESS_DNS;
		rest = text + 7;
	} else if (strncmp(text, "tcp:", 4) != 0) {
		return refuse(ret_why,
			      rmd_asprintf("\"%s\" is not an address: write unix:PATH, "
					   "tcp:HOST:PORT or dns:///HOST:PORT",
					   text));
	}
	int code = parse_host(text, rest, &address, ret_why);
	if (code == 0)
		*ret_address = address;
	return code;
}

void rmd_address_fini(struct rmd_address *address)
{
	rmd_free(address->place);
	address->place = NULL;
}

char *rmd_address_host_port(const struct rmd_address *address)
{
	return strchr(address->place, ':') != NULL
		       ? rmd_asprintf("[%s]:%u", address->place, (unsigned)address->port)
		       : rmd_asprintf("%s:%u", address->place, (unsigned)address->port);
}

/* `text` for a URI: all but the plainest characters as %XX. */
static char *escape(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *escaped = rmd_malloc(strlen(text) * 3 + 1), *at = escaped;
	if (escaped == NULL)
		return NULL;
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (isalnum(c) || strchr("-._~/:", c) != NULL) {
			*at++ = (char)c;
			continue;
		}
		*at++ = '%';
		*at++ = hex[c >> 4];
		*at++ = hex[c & 15];
	}
	*at = '\0';
	return escaped;
}

char *rmd_address_target(const struct rmd_address *address)
{
	char *plain = address->kind == RMD_ADDRESS_UNIX ? rmd_strdup(address->place)
							: rmd_address_host_port(address);
	char *escaped = plain == NULL ? NULL : escape(plain);
	char *target = NULL;
	if (escaped != NULL)
		target = rmd_asprintf(
			"%s%s", address->kind == RMD_ADDRESS_UNIX ? "unix:" : "dns:///",
			escaped);
	rmd_free(plain);
	rmd_free(escaped);
	return target;
}
