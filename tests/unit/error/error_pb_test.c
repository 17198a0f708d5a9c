/* ErrorChain against protobuf-c, over random chains both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/errcode.h"
#include "proto/error/chain.h"
#include "remuda/v1/error.pb-c.h"
#include "tests/unit/frames/random_pb.h"

/* A random chain whose errors follow one another, each as cause or as context. */
static struct rmd_buf *random_chain(uint64_t seed)
{
	ProtobufCMessage *message =
		random_message(&remuda__v1__error_chain__descriptor, seed);
	Remuda__V1__ErrorChain *chain = (Remuda__V1__ErrorChain *)message;
	for (uint32_t i = 0; i + 1 < chain->n_errors; i++) {
		if ((seed >> i) % 2)
			chain->errors[i]->cause = i + 2;
		else
			chain->errors[i]->context = i + 2;
	}
	struct rmd_buf *buf = random_packed(message);
	protobuf_c_message_free_unpacked(message, NULL);
	return buf;
}

static void chains_agree_with_protobuf_c(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct rmd_buf *packed = random_chain(seed);
		struct remuda_error *err = NULL;
		const char *field = "";
		int rc = rmd_error_decode(rmd_buf_slice(packed), &err, &field);
		if (rc != 0)
			fail_msg("seed %llu: %s: %s", (unsigned long long)seed,
				 rmd_errcode_name(rc), field);
		struct rmd_buf *written = rmd_error_encode_buf(err);
		struct rmd_slice bytes = rmd_buf_slice(written);
		ProtobufCMessage *back =
			protobuf_c_message_unpack(&remuda__v1__error_chain__descriptor,
						  NULL, bytes.len, bytes.data);
		assert_non_null(back);
		struct rmd_buf *again = random_packed(back);
		if (!rmd_slice_equal(rmd_buf_slice(packed), rmd_buf_slice(again)))
			fail_msg("seed %llu: not the same", (unsigned long long)seed);
		protobuf_c_message_free_unpacked(back, NULL);
		rmd_buf_unref(again);
		rmd_buf_unref(written);
		rmd_buf_unref(packed);
		remuda_error_free(err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_agree_with_protobuf_c),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
