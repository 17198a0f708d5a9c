#include "tests/unit/rpc/certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

char *certificate_path(const char *folder, const char *name, const char *suffix)
{
	char *path = NULL;
	assert_true(asprintf(&path, "%s/%s.%s", folder, name, suffix) > 0);
	return path;
}

static FILE *open_part(const char *folder, const char *name, const char *suffix,
		       const char *mode)
{
	char *path = certificate_path(folder, name, suffix);
	FILE *file = fopen(path, mode);
	assert_non_null(file);
	free(path);
	return file;
}

static void add_extension(X509 *certificate, int nid, const char *text)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, text);
	assert_non_null(extension);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

static void name_of(X509_NAME *name, const char *text)
{
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)text,
				   -1, -1, 0);
}

static void describe(X509 *certificate, const struct certificate *wanted)
{
	static long serial = 1;
	long until_s = wanted->until_s;
	if (wanted->from_s == 0 && until_s == 0)
		until_s = 3600;
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), wanted->from_s - 1);
	X509_gmtime_adj(X509_getm_notAfter(certificate), until_s);
	name_of(X509_get_subject_name(certificate), wanted->name);
	if (wanted->dns == NULL) {
		add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
	} else {
		char san[128];
		bool here = strcmp(wanted->dns, "localhost") == 0;
		snprintf(san, sizeof san, "DNS:%s%s", wanted->dns,
			 here ? ",IP:127.0.0.1" : "");
		add_extension(certificate, NID_subject_alt_name, san);
	}
}

void certificate_make(const char *folder, const struct certificate *wanted)
{
	EVP_PKEY *key = wanted->weak ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256"),
		 *issuer_key = key;
	X509 *certificate = X509_new(), *issuer = certificate;
	assert_non_null(key);
	describe(certificate, wanted);
	X509_set_pubkey(certificate, key);
	if (wanted->issuer != NULL) {
		FILE *file = open_part(folder, wanted->issuer, "key", "re");
		issuer_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
		fclose(file);
		file = open_part(folder, wanted->issuer, "crt", "re");
		issuer = PEM_read_X509(file, NULL, NULL, NULL);
		fclose(file);
	}
	X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
	assert_true(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
	FILE *file = open_part(folder, wanted->name, "crt", "we");
	PEM_write_X509(file, certificate);
	fclose(file);
	file = open_part(folder, wanted->name, "key", "we");
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	if (wanted->issuer != NULL) {
		EVP_PKEY_free(issuer_key);
		X509_free(issuer);
	}
	EVP_PKEY_free(key);
	X509_free(certificate);
}

void certificate_remove(const char *folder, const char *name)
{
	static const char *const suffixes[] = {"crt", "key"};
	for (size_t i = 0; i < 2; i++) {
		char *path = certificate_path(folder, name, suffixes[i]);
		unlink(path);
		free(path);
	}
}
