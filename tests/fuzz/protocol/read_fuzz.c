/* What the agent reads of a worker: words of the control page, the ring, packets. The
 * input is a script: an opcode, then its operands. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/protocol/hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct script {
	const uint8_t *at, *end;
};

static uint64_t number(struct script *script, size_t bytes)
{
	uint64_t value = 0;
	if ((size_t)(script->end - script->at) < bytes)
		bytes = (size_t)(script->end - script->at);
	memcpy(&value, script->at, bytes);
	script->at += bytes;
	return value;
}

/* Up to `max` bytes of the script, as the next byte says. */
static struct rmd_slice bytes_of(struct script *script, size_t max)
{
	size_t len = (size_t)number(script, 1);
	if (len > max)
		len = max;
	if (len > (size_t)(script->end - script->at))
		len = (size_t)(script->end - script->at);
	struct rmd_slice bytes = rmd_slice_of(script->at, len);
	script->at += len;
	return bytes;
}

/* A seq that is often a live one. */
static uint64_t seq_of(struct script *script, const struct hostile *hostile)
{
	uint8_t which = (uint8_t)number(script, 1);
	return which < 8 ? hostile->seqs[which & 3] : number(script, 8);
}

static void put_record(struct script *script, struct hostile *hostile)
{
	struct rmd_wp_record record = {.kind = (uint32_t)number(script, 1)};
	record.seq = seq_of(script, hostile);
	record.a = number(script, 2);
	record.b = number(script, 2);
	struct rmd_slice payload = bytes_of(script, 64);
	uint8_t lie = (uint8_t)number(script, 1);
	record.payload_bytes = lie < 200 ? (uint32_t)payload.len
					 : (uint32_t)number(script, 4);
	uint64_t head = atomic_load(&hostile->page->ring_head);
	if (head % RMD_WP_RING_BYTES <= RMD_WP_RING_BYTES - 256)
		hostile_record(hostile, &record, payload.data, payload.len);
}

static void step(struct script *script, struct hostile *hostile)
{
	struct rmd_slice bytes;
	switch (number(script, 1) % 6) {
	case 0:
		put_record(script, hostile);
		break;
	case 1:
		atomic_store(&hostile->page->ring_head, number(script, 8));
		break;
	case 2:
		atomic_store(&hostile->page->slots[number(script, 1) & 3],
			     number(script, 8));
		break;
	case 3:
		bytes = bytes_of(script, 255);
		(void)send(hostile->socket_fd, bytes.data, bytes.len, MSG_DONTWAIT);
		break;
	case 4:
		bytes = bytes_of(script, 255);
		(void)!write(hostile->pipe_fds[bytes.len & 1], bytes.data, bytes.len);
		break;
	default:
		/* Raw bytes over the ring's next record, its header included. */
		bytes = bytes_of(script, 255);
		memcpy(hostile->output + atomic_load(&hostile->page->ring_head) %
						 (RMD_WP_RING_BYTES - 256),
		       bytes.data, bytes.len);
		atomic_fetch_add(&hostile->page->ring_head, (bytes.len + 7) & ~(size_t)7);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script script = {data, data + size};
	struct hostile hostile;
	if (size == 0 || !hostile_open(&hostile))
		return 0;
	for (int steps = 0; steps < 64 && script.at < script.end; steps++) {
		step(&script, &hostile);
		if (steps % 4 == 3 && rmd_wp_read(hostile.end) < 0)
			break;
	}
	(void)rmd_wp_read(hostile.end);
	hostile_close(&hostile);
	return 0;
}
