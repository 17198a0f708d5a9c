#include "proto/rpc/status.h"

#include "proto/base/errcode.h"

/* Field numbers of google.rpc.Status, google.protobuf.Any and google.rpc.ErrorInfo. */
enum {
	STATUS_CODE = 1,
	STATUS_MESSAGE = 2,
	STATUS_DETAILS = 3,
	ANY_TYPE_URL = 1,
	ANY_VALUE = 2,
	ERROR_INFO_REASON = 1,
	ERROR_INFO_DOMAIN = 2,
};

static const char ERROR_INFO_URL[] = "type.googleapis.com/google.rpc.ErrorInfo";

static const char *const status_names[] = {
	[RMD_RPC_OK] = "OK",
	[RMD_RPC_CANCELLED] = "CANCELLED",
	[RMD_RPC_UNKNOWN] = "UNKNOWN",
	[RMD_RPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[RMD_RPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[RMD_RPC_NOT_FOUND] = "NOT_FOUND",
	[RMD_RPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[RMD_RPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[RMD_RPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
	[RMD_RPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[RMD_RPC_ABORTED] = "ABORTED",
	[RMD_RPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
	[RMD_RPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[RMD_RPC_INTERNAL] = "INTERNAL",
	[RMD_RPC_UNAVAILABLE] = "UNAVAILABLE",
	[RMD_RPC_DATA_LOSS] = "DATA_LOSS",
	[RMD_RPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *rmd_rpc_status_name(enum rmd_rpc_status status)
{
	size_t i = (size_t)status;
	return i < sizeof status_names / sizeof *status_names ? status_names[i]
							      : "UNKNOWN";
}

struct rmd_slice rmd_status_text(const char *text)
{
	struct rmd_slice bytes = rmd_slice_of_string(text == NULL ? "" : text);
	if (bytes.len > RMD_STATUS_TEXT_MAX_BYTES) {
		bytes.len = RMD_STATUS_TEXT_MAX_BYTES;
		while (bytes.len > 0 && (bytes.data[bytes.len] & 0xc0) == 0x80)
			bytes.len--;
	}
	return rmd_wire_utf8_valid(bytes) ? bytes : rmd_slice_of("", 0);
}

void rmd_status_encode(struct rmd_wire_writer *writer, enum rmd_rpc_status status,
		       struct rmd_slice text, const char *reason)
{
	rmd_wire_put_varint_nz(writer, STATUS_CODE, (uint64_t)status);
	rmd_wire_put_bytes_nz(writer, STATUS_MESSAGE, text);
	struct rmd_wire_nest any = rmd_wire_open(writer, STATUS_DETAILS);
	rmd_wire_put_bytes(writer, ANY_TYPE_URL, rmd_slice_of_string(ERROR_INFO_URL));
	struct rmd_wire_nest info = rmd_wire_open(writer, ANY_VALUE);
	rmd_wire_put_bytes(writer, ERROR_INFO_REASON, rmd_slice_of_string(reason));
	rmd_wire_put_bytes(writer, ERROR_INFO_DOMAIN, rmd_slice_of_string("remuda"));
	rmd_wire_close(writer, info);
	rmd_wire_close(writer, any);
}

/* The last LEN field `number` of a message. RMD_ENOTFOUND: it has none. */
static int find(struct rmd_slice message, uint32_t number, struct rmd_slice *ret_bytes)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	int more, found = RMD_ENOTFOUND;
	while ((more = rmd_wire_next(&reader, &field)) > 0)
		if (field.number == number && field.type == RMD_WIRE_LEN) {
			*ret_bytes = field.bytes;
			found = 0;
		}
	return more < 0 ? more : found;
}

int rmd_status_reason(struct rmd_slice encoded, struct rmd_slice *ret_reason)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(encoded);
	struct rmd_wire_field field;
	int more;
	while ((more = rmd_wire_next(&reader, &field)) > 0) {
		struct rmd_slice url, info;
		if (field.number != STATUS_DETAILS || field.type != RMD_WIRE_LEN)
			continue;
		if (find(field.bytes, ANY_TYPE_URL, &url) < 0 ||
		    find(field.bytes, ANY_VALUE, &info) < 0)
			continue;
		if (rmd_slice_equal(url, rmd_slice_of_string(ERROR_INFO_URL)))
			return find(info, ERROR_INFO_REASON, ret_reason);
	}
	return more < 0 ? more : RMD_ENOTFOUND;
}
