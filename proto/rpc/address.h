/* proto/rpc/address.h: the addresses that people write: "unix:PATH", "tcp:HOST:PORT",
 * "dns:///HOST:PORT". Pure. */
#pragma once

#include <stdint.h>

enum rmd_address_kind { RMD_ADDRESS_UNIX, RMD_ADDRESS_TCP, RMD_ADDRESS_DNS };

struct rmd_address {
	enum rmd_address_kind kind;
	char *place; /* owned; the path, or the host without brackets */
	uint16_t port;
};

/* Reads `text`. RMD_EINVAL: it is none; RMD_ENOMEM. On failure *ret_why (owned; NULL
 * when out of memory) tells a person what is wrong. */
int rmd_address_parse(const char *text, struct rmd_address *ret_address, char **ret_why);
void rmd_address_fini(struct rmd_address *address);
/* The address as gRPC's clients want it. Owned; NULL: out of memory. */
char *rmd_address_target(const struct rmd_address *address);
/* "HOST:PORT", with brackets where HOST needs them. Owned; NULL: out of memory. */
char *rmd_address_host_port(const struct rmd_address *address);
