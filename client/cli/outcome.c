#include "client/cli/outcome.h"

#include <stdlib.h>

#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "proto/base/errcode.h"
#include "proto/codec/json.h"

/* A buffer for results is kept for the next one if it is no larger than this. */
#define KEEP_BYTES ((size_t)1 << 20)

int rmd_outcome_exit(int code, int fallback)
{
	switch (code) {
	case REMUDA_ETASK:
	case REMUDA_ECANCELLED:
	case REMUDA_ETOOBIG:
	case REMUDA_ENOTFOUND:
		return RMD_EXIT_TASK;
	case REMUDA_EUNREACHABLE:
	case REMUDA_ECLOSED:
	case REMUDA_EPROTO:
		return RMD_EXIT_SERVICE;
	case REMUDA_ENOMEM:
	case REMUDA_ESYS:
		return RMD_EXIT_SYSTEM;
	default:
		return fallback;
	}
}

int rmd_outcome_write(const struct remuda_value *value, bool raw, FILE *out)
{
	static struct rmd_text text; /* kept: as large as the largest result */
	int rc;

	if (raw && value->kind == REMUDA_STRING) {
		fwrite(value->u.string.data, 1, value->u.string.len, out);
		return 0;
	}
	if (raw && value->kind == REMUDA_BYTES) {
		fwrite(value->u.bytes.data, 1, value->u.bytes.len, out);
		return 0;
	}
	text.len = 0;
	rc = rmd_json_print(value, &text);
	if (rc == 0)
		fwrite(text.data, 1, text.len, out);
	if (rc < 0 || text.capacity > KEEP_BYTES)
		rmd_text_fini(&text);
	return rc;
}

void rmd_outcome_report(const char *what, int code, const struct remuda_error *err)
{
	if (err == NULL) {
		rmd_report("%s: %s", what, remuda_code_text(code));
		return;
	}
	rmd_report("%s failed:", what);
	remuda_error_print(err, stderr);
}

void rmd_outcome_report_line(const char *what, int code, const struct remuda_error *err)
{
	const struct remuda_error *root = err != NULL ? remuda_error_root(err) : NULL;
	char *outer = err != NULL ? remuda_error_line(err) : NULL;
	char *inner = root != NULL && root != err ? remuda_error_line(root) : NULL;

	if (inner != NULL)
		rmd_report("%s: %s; caused by %s", what, outer != NULL ? outer : "",
			   inner);
	else
		rmd_report("%s: %s", what,
			   outer != NULL ? outer : remuda_code_text(code));
	free(outer);
	free(inner);
}

static size_t weigh(const struct remuda_value *value, int depth)
{
	size_t bytes = sizeof *value;

	switch (value->kind) {
	case REMUDA_STRING:
	case REMUDA_FUNCTION:
		return bytes + value->u.string.len;
	case REMUDA_BYTES:
	case REMUDA_BIGINT:
		return bytes + value->u.bytes.len;
	case REMUDA_ARRAY:
		return bytes + value->u.array.data_bytes;
	case REMUDA_INTS:
		return bytes + value->u.ints.len * sizeof(int64_t);
	case REMUDA_DOUBLES:
		return bytes + value->u.doubles.len * sizeof(double);
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		for (size_t i = 0; depth > 0 && i < value->u.list.len; i++)
			bytes += weigh(&value->u.list.items[i], depth - 1);
		return bytes;
	case REMUDA_MAP:
		for (size_t i = 0; depth > 0 && i < value->u.map.len; i++)
			bytes += weigh(&value->u.map.entries[i].key, depth - 1) +
				 weigh(&value->u.map.entries[i].value, depth - 1);
		return bytes;
	case REMUDA_ANY:
		return bytes + value->u.any.data.len;
	case REMUDA_OPAQUE:
		return bytes + value->u.opaque.data.len;
	case REMUDA_NAMED:
		return bytes + (depth > 0 ? weigh(value->u.named.value, depth - 1) : 0);
	case REMUDA_NULL:
	case REMUDA_BOOLEAN:
	case REMUDA_INT64:
	case REMUDA_UINT64:
	case REMUDA_FLOAT64:
	case REMUDA_COMPLEX:
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
	case REMUDA_BLOB:
		break;
	}
	return bytes;
}

size_t rmd_outcome_weigh(const struct remuda_value *value)
{
	return weigh(value, REMUDA_VALUE_DEPTH_MAX);
}
