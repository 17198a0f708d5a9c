/* Listeners and channels with certificates and tokens: who is let in, and what the others
 * are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/rpc/tls.h"
#include "tests/unit/rpc/certificates.h"
#include "tests/unit/rpc/harness.h"

/* Made once; all in one folder. */
static const struct certificate made[] = {
	{.name = "ca"},
	{.name = "server", .issuer = "ca", .dns = "localhost"},
	{.name = "client", .issuer = "ca", .dns = "client.test"},
	{.name = "elsewhere", .issuer = "ca", .dns = "elsewhere.test"},
	{.name = "expired",
	 .issuer = "ca",
	 .dns = "localhost",
	 .from_s = -7200,
	 .until_s = -3600},
	{.name = "early",
	 .issuer = "ca",
	 .dns = "localhost",
	 .from_s = 3600,
	 .until_s = 7200},
	{.name = "weak", .issuer = "ca", .dns = "localhost", .weak = true},
	{.name = "other"},
	{.name = "stranger", .issuer = "other", .dns = "client.test"},
};
enum { MADE = sizeof made / sizeof *made };

static char folder[64];

static int make_all(void **state)
{
	(void)state;
	make_folder(folder);
	for (size_t i = 0; i < MADE; i++)
		certificate_make(folder, &made[i]);
	return 0;
}

static int remove_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < MADE; i++)
		certificate_remove(folder, made[i].name);
	remove_folder(folder);
	return 0;
}

/* The files of `name`, trusting `ca`; either may be NULL. */
static struct rmd_tls files_of(const char *name, const char *ca)
{
	struct rmd_tls tls = {0};
	if (name != NULL) {
		tls.cert_file = certificate_path(folder, name, "crt");
		tls.key_file = certificate_path(folder, name, "key");
	}
	if (ca != NULL)
		tls.ca_file = certificate_path(folder, ca, "crt");
	return tls;
}

static void files_free(struct rmd_tls *tls)
{
	free((char *)(uintptr_t)tls->cert_file);
	free((char *)(uintptr_t)tls->key_file);
	free((char *)(uintptr_t)tls->ca_file);
}

/* ---- the files ---- */

static void refuse_files(const struct rmd_tls *tls, const char *says)
{
	char *why = NULL;
	assert_int_equal(rmd_tls_check(tls, RMD_TLS_SERVER, &why), RMD_EINVAL);
	if (why == NULL || strstr(why, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why == NULL ? "" : why, says);
	rmd_free(why);
}

static void refuse_identity(const char *name, const char *says)
{
	struct rmd_tls tls = files_of(name, NULL);
	refuse_files(&tls, says);
	files_free(&tls);
}

static void bad_files_are_named_with_what_is_wrong(void **state)
{
	(void)state;
	refuse_identity("expired", "has expired on");
	refuse_identity("early", "is not valid before");
	refuse_identity("weak", "too weak (1024 bits)");
	refuse_identity("missing", "missing.crt: No such file");
	struct rmd_tls mixed = files_of("server", "ca");
	struct rmd_tls client = files_of("client", NULL);
	char *why = NULL;
	assert_int_equal(rmd_tls_check(&mixed, RMD_TLS_SERVER, &why), 0);
	struct rmd_tls swapped = {.cert_file = mixed.cert_file,
				  .key_file = client.key_file};
	refuse_files(&swapped, "is not that of the certificate");
	swapped =
		(struct rmd_tls){.cert_file = mixed.key_file, .key_file = mixed.key_file};
	refuse_files(&swapped, "no certificate in PEM form");
	swapped = (struct rmd_tls){.cert_file = mixed.cert_file,
				   .key_file = mixed.cert_file};
	refuse_files(&swapped, "none in PEM form");
	swapped = (struct rmd_tls){.cert_file = mixed.cert_file};
	refuse_files(&swapped, "both");
	files_free(&mixed);
	files_free(&client);
}

/* ---- who reaches whom ---- */

struct attempt {
	const char *server, *server_ca; /* names of certificates; NULL: none */
	const char *client, *client_ca;
	const char *server_name;
	const char *token;
	bool plain; /* the client speaks without TLS */
	rmd_admit_fn *admit;
};

/* Calls Fail, which answers NOT_FOUND to whoever is let in. */
static struct caller try_it(const struct attempt *attempt)
{
	struct rmd_tls server = files_of(attempt->server, attempt->server_ca);
	struct rmd_tls client = files_of(attempt->client, attempt->client_ca);
	client.server_name = attempt->server_name;
	struct host host;
	host_start_guarded(
		&host, "tcp:127.0.0.1:0",
		&(struct host_guard){.tls = attempt->server == NULL ? NULL : &server,
				     .admit = attempt->admit});
	struct rmd_loop *loop = rmd_loop_create();
	char *why = NULL;
	struct rmd_channel_options options = {.tls = attempt->plain ? NULL : &client,
					      .token = attempt->token};
	struct rmd_channel *channel =
		rmd_channel_open_with(loop, host.address, &options, &why);
	if (channel == NULL)
		fail_msg("%s", why);
	struct caller caller = {0};
	caller_open(&caller, loop, channel, "/test.Test/Fail",
		    rmd_clock_mono_ms() + 10000);
	rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
	caller_wait_closed(&caller);
	rmd_channel_close(channel);
	rmd_loop_destroy(loop);
	host_stop(&host, 100);
	files_free(&server);
	files_free(&client);
	return caller;
}

static void expect(const struct attempt *attempt, enum rmd_rpc_status status,
		   const char *says)
{
	struct caller caller = try_it(attempt);
	if (caller.status != status || strstr(caller.text, says) == NULL)
		fail_msg("%s: \"%s\" is not %s with \"%s\"",
			 rmd_rpc_status_name(caller.status), caller.text,
			 rmd_rpc_status_name(status), says);
}

static void a_server_that_is_trusted_is_reached(void **state)
{
	(void)state;
	struct attempt attempt = {.server = "server", .client_ca = "ca"};
	expect(&attempt, RMD_RPC_NOT_FOUND, "no such horse");
}

static void a_server_of_another_authority_or_name_is_not(void **state)
{
	(void)state;
	struct attempt attempt = {.server = "server", .client_ca = "other"};
	expect(&attempt, RMD_RPC_UNAVAILABLE, "cannot connect");
	attempt = (struct attempt){.server = "elsewhere", .client_ca = "ca"};
	expect(&attempt, RMD_RPC_UNAVAILABLE, "cannot connect");
	attempt.server_name = "elsewhere.test";
	expect(&attempt, RMD_RPC_NOT_FOUND, "no such horse");
}

static void a_server_that_wants_certificates_takes_those_of_its_authority(void **state)
{
	(void)state;
	struct attempt attempt = {.server = "server",
				  .server_ca = "ca",
				  .client = "client",
				  .client_ca = "ca"};
	expect(&attempt, RMD_RPC_NOT_FOUND, "no such horse");
	attempt.client = NULL;
	expect(&attempt, RMD_RPC_UNAVAILABLE, "");
	attempt.client = "stranger";
	expect(&attempt, RMD_RPC_UNAVAILABLE, "");
}

static void who_speaks_otherwise_than_the_server_is_told(void **state)
{
	(void)state;
	struct attempt attempt = {.server = "server", .plain = true};
	expect(&attempt, RMD_RPC_UNAVAILABLE, "TLS");
	attempt = (struct attempt){.client_ca = "ca"};
	expect(&attempt, RMD_RPC_UNAVAILABLE, "TLS");
}

static const char *admit_sesame(void *ctx, struct rmd_stream *stream,
				enum rmd_rpc_status *ret_status)
{
	(void)ctx;
	(void)ret_status;
	const char *word = rmd_stream_metadata(stream, "authorization");
	if (word == NULL)
		return "say who you are";
	return strcmp(word, "Bearer sesame") == 0 ? NULL : "nobody is called so";
}

static void a_token_goes_with_each_call(void **state)
{
	(void)state;
	struct attempt attempt = {.server = "server",
				  .client_ca = "ca",
				  .token = "sesame",
				  .admit = admit_sesame};
	expect(&attempt, RMD_RPC_NOT_FOUND, "no such horse");
	attempt.token = "barley";
	expect(&attempt, RMD_RPC_UNAUTHENTICATED, "nobody is called so");
	attempt.token = NULL;
	expect(&attempt, RMD_RPC_UNAUTHENTICATED, "say who you are");
}

static void refuse_token(const char *address, const char *token, const char *says)
{
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel_options options = {.token = token};
	char *why = NULL;
	assert_null(rmd_channel_open_with(loop, address, &options, &why));
	assert_non_null(why);
	if (strstr(why, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, says);
	rmd_free(why);
	rmd_loop_destroy(loop);
}

static void tokens_that_would_leak_or_break_the_call_are_refused(void **state)
{
	(void)state;
	refuse_token("tcp:127.0.0.1:1", "sesame", "without TLS");
	refuse_token("unix:/nowhere", "open sesame", "one word");
	refuse_token("unix:/nowhere", "", "one word");
}

static void health_is_told_to_whoever_asks(void **state)
{
	(void)state;
	struct host host;
	host_start_guarded(&host, NULL, &(struct host_guard){.admit = admit_sesame});
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	struct caller caller = {0};
	caller_open(&caller, loop, channel, "/grpc.health.v1.Health/Check",
		    rmd_clock_mono_ms() + 10000);
	rmd_stream_begin(caller.stream);
	rmd_stream_end(caller.stream);
	rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_OK);
	rmd_channel_close(channel);
	rmd_loop_destroy(loop);
	host_stop(&host, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_files_are_named_with_what_is_wrong),
		cmocka_unit_test(a_server_that_is_trusted_is_reached),
		cmocka_unit_test(a_server_of_another_authority_or_name_is_not),
		cmocka_unit_test(
			a_server_that_wants_certificates_takes_those_of_its_authority),
		cmocka_unit_test(who_speaks_otherwise_than_the_server_is_told),
		cmocka_unit_test(a_token_goes_with_each_call),
		cmocka_unit_test(tokens_that_would_leak_or_break_the_call_are_refused),
		cmocka_unit_test(health_is_told_to_whoever_asks),
	};
	return cmocka_run_group_tests(tests, make_all, remove_all);
}
