/* ErrorChain: decodes, prints in every form, encodes, and decodes that again to the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "proto/error/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct remuda_error *err = NULL, *again = NULL;
	const char *field = NULL;
	int rc = rmd_error_decode(rmd_slice_of(data, size), &err, &field);
	RMD_CHECK(rc == 0 || (rc < 0 && field != NULL && err == NULL));
	if (rc < 0)
		return 0;
	char *string = remuda_error_string(err), *line = remuda_error_line(err);
	char *json = remuda_error_json(err);
	RMD_CHECK(string != NULL && line != NULL && json != NULL);
	RMD_CHECK(rmd_wire_utf8_valid(rmd_slice_of_string(string)));
	RMD_CHECK(strchr(string, '\x1b') == NULL && strchr(line, '\n') == NULL);
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	RMD_CHECK(buf != NULL);
	RMD_CHECK(rmd_error_decode(rmd_buf_slice(buf), &again, &field) == 0);
	if (size < RMD_ERROR_CHAIN_MAX_BYTES / 2) { /* so nothing was cut */
		char *same = remuda_error_string(again);
		struct rmd_buf *same_buf = rmd_error_encode_buf(again);
		RMD_CHECK(same != NULL && strcmp(string, same) == 0);
		RMD_CHECK(same_buf != NULL &&
			  rmd_slice_equal(rmd_buf_slice(buf), rmd_buf_slice(same_buf)));
		rmd_buf_unref(same_buf);
		free(same);
	}
	remuda_error_free(again);
	rmd_buf_unref(buf);
	remuda_error_free(err);
	free(string);
	free(line);
	free(json);
	return 0;
}
