#include "worker/crash/record.h"

#include <pb_decode.h>
#include <pb_encode.h>
#include <signal.h>

#include "proto/base/errcode.h"

#define PC_REGISTER 16 /* of x86-64 */

size_t rmd_crash_record_put(const remuda_local_CrashRecord *record,
			    uint8_t bytes[RMD_CRASH_RECORD_MAX])
{
	pb_ostream_t stream = pb_ostream_from_buffer(bytes, RMD_CRASH_RECORD_MAX);
	if (!pb_encode(&stream, remuda_local_CrashRecord_fields, record))
		return 0;
	return stream.bytes_written;
}

int rmd_crash_record_get(struct rmd_slice bytes, remuda_local_CrashRecord *ret_record)
{
	if (bytes.len > RMD_CRASH_RECORD_MAX)
		return RMD_EPROTO;
	pb_istream_t stream = pb_istream_from_buffer(bytes.data, bytes.len);
	if (!pb_decode(&stream, remuda_local_CrashRecord_fields, ret_record) ||
	    ret_record->signal == 0 || ret_record->signal >= NSIG)
		return RMD_EPROTO;
	for (pb_size_t i = 0; i < ret_record->images_count; i++)
		if (ret_record->images[i].start >= ret_record->images[i].end)
			return RMD_EPROTO;
	return 0;
}

const remuda_local_Image *rmd_crash_image(const remuda_local_CrashRecord *record,
					  uint64_t address)
{
	for (pb_size_t i = 0; i < record->images_count; i++)
		if (address >= record->images[i].start && address < record->images[i].end)
			return &record->images[i];
	return NULL;
}

uint64_t rmd_crash_pc(const remuda_local_CrashRecord *record)
{
	return record->registers_count > PC_REGISTER ? record->registers[PC_REGISTER] : 0;
}
