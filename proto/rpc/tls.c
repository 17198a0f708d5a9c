#include "proto/rpc/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define READ_AGAIN_S 5u
/* What NIST SP 800-57 part 1 wants of a key since 2014: RSA of 2048 bits, EC of 224. */
#define SECURITY_BITS_MIN 112

/* ---- looking at the files ---- */

static FILE *open_pem(const char *path, const char *what, char **ret_why)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		*ret_why = rmd_asprintf("cannot read the %s %s: %s", what, path,
					strerror(errno));
	return file;
}

static X509 *read_certificate(const char *path, const char *what, char **ret_why)
{
	FILE *file = open_pem(path, what, ret_why);
	if (file == NULL)
		return NULL;
	X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	if (certificate == NULL)
		*ret_why = rmd_asprintf("the %s %s is no certificate in PEM form", what,
					path);
	return certificate;
}

static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)ctx;
	return 0;
}

static EVP_PKEY *read_key(const char *path, char **ret_why)
{
	FILE *file = open_pem(path, "private key", ret_why);
	if (file == NULL)
		return NULL;
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
	fclose(file);
	if (key == NULL)
		*ret_why = rmd_asprintf(
			"the private key %s is none in PEM form, or has a passphrase",
			path);
	return key;
}

/* A day for people: "2026-11-22 10:00:00 GMT". */
static void print_time(const ASN1_TIME *time, char *text, size_t size)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(time, &tm) != 1 ||
	    strftime(text, size, "%Y-%m-%d %H:%M:%S GMT", &tm) == 0)
		snprintf(text, size, "an unreadable time");
}

static char *why_not_now(X509 *certificate, const char *path)
{
	char text[64];
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
		print_time(X509_get0_notAfter(certificate), text, sizeof text);
		return rmd_asprintf("the certificate %s has expired on %s: renew it",
				    path, text);
	}
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
		print_time(X509_get0_notBefore(certificate), text, sizeof text);
		return rmd_asprintf("the certificate %s is not valid before %s: is this "
				    "host's clock right?",
				    path, text);
	}
	return NULL;
}

static int check_identity(const struct rmd_tls *tls, char **ret_why)
{
	EVP_PKEY *key = NULL;
	X509 *certificate = read_certificate(tls->cert_file, "certificate", ret_why);
	if (certificate != NULL)
		key = read_key(tls->key_file, ret_why);
	int code = RMD_EINVAL;
	if (key == NULL) {
		/* said */
	} else if (X509_check_private_key(certificate, key) != 1) {
		*ret_why = rmd_asprintf("the private key %s is not that of the "
					"certificate %s",
					tls->key_file, tls->cert_file);
	} else if (EVP_PKEY_get_security_bits(key) < SECURITY_BITS_MIN) {
		*ret_why = rmd_asprintf("the key %s is too weak (%d bits): take RSA of "
					"2048 bits or more, or EC",
					tls->key_file, EVP_PKEY_get_bits(key));
	} else {
		*ret_why = why_not_now(certificate, tls->cert_file);
		code = *ret_why == NULL ? 0 : RMD_EINVAL;
	}
	EVP_PKEY_free(key);
	X509_free(certificate);
	return code;
}

static int check_ca(const char *path, char **ret_why)
{
	X509 *certificate = read_certificate(path, "certificate authority", ret_why);
	if (certificate == NULL)
		return RMD_EINVAL;
	X509_free(certificate);
	return 0;
}

int rmd_tls_check(const struct rmd_tls *tls, enum rmd_tls_side side, char **ret_why)
{
	int code = 0;
	*ret_why = NULL;
	if ((tls->cert_file == NULL) != (tls->key_file == NULL) ||
	    (side == RMD_TLS_SERVER && tls->cert_file == NULL)) {
		*ret_why =
			rmd_strdup("TLS needs a certificate and its private key, both");
		return RMD_EINVAL;
	}
	ERR_set_mark();
	if (tls->cert_file != NULL)
		code = check_identity(tls, ret_why);
	if (code == 0 && tls->ca_file != NULL)
		code = check_ca(tls->ca_file, ret_why);
	ERR_pop_to_mark(); /* OpenSSL's own list of errors is not for gRPC to find */
	return code;
}

/* ---- credentials ---- */

/* Options with the files as their source; the caller's. */
static grpc_tls_credentials_options *options_of(const struct rmd_tls *tls)
{
	grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
	if (tls->cert_file == NULL && tls->ca_file == NULL)
		return options;
	grpc_tls_certificate_provider *files =
		grpc_tls_certificate_provider_file_watcher_create(
			tls->key_file, tls->cert_file, tls->ca_file, READ_AGAIN_S);
	grpc_tls_credentials_options_set_certificate_provider(options, files);
	grpc_tls_certificate_provider_release(files);
	if (tls->cert_file != NULL)
		grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
	if (tls->ca_file != NULL)
		grpc_tls_credentials_options_watch_root_certs(options);
	return options;
}

grpc_server_credentials *rmd_tls_server(const struct rmd_tls *tls)
{
	grpc_tls_credentials_options *options = options_of(tls);
	grpc_tls_credentials_options_set_cert_request_type(
		options,
		tls->ca_file == NULL
			? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
			: GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
	return grpc_tls_server_credentials_create(options);
}

grpc_channel_credentials *rmd_tls_client(const struct rmd_tls *tls)
{
	return grpc_tls_credentials_create(options_of(tls));
}
