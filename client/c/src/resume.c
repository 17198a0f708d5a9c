/* What a session says again on a new connection: pools, and submits that may not have
 * arrived. */
#include <string.h>

#include "client/c/src/client.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

/* Copies `from` to *at and moves on. */
static struct rmd_slice put(uint8_t **at, struct rmd_slice from)
{
	struct rmd_slice copy = {*at, from.len};
	if (from.len != 0)
		memcpy(*at, from.data, from.len);
	*at += from.len;
	return copy;
}

int rmd_unaccepted_add(struct remuda *client, uint64_t number,
		       const struct rmd_task_spec *spec, struct rmd_buf *arguments)
{
	size_t len = spec->function.len + spec->options.raw_labels.len +
		     spec->options.raw_retry.len +
		     (arguments == NULL ? spec->arguments.len : 0);
	struct rmd_unaccepted *kept = rmd_malloc(sizeof *kept + len);
	if (kept == NULL)
		return RMD_ENOMEM;
	uint8_t *at = kept->bytes;
	kept->next = NULL;
	kept->number = number;
	kept->spec = *spec;
	kept->spec.function = put(&at, spec->function);
	kept->spec.options.raw_labels = put(&at, spec->options.raw_labels);
	if (spec->options.raw_retry.data != NULL)
		kept->spec.options.raw_retry = put(&at, spec->options.raw_retry);
	kept->arguments = NULL;
	if (arguments != NULL)
		kept->arguments = rmd_buf_ref(arguments);
	else
		kept->spec.arguments = put(&at, spec->arguments);
	*client->unaccepted_end = kept;
	client->unaccepted_end = &kept->next;
	return 0;
}

void rmd_unaccepted_drop(struct remuda *client, uint64_t number)
{
	while (client->unaccepted != NULL && client->unaccepted->number <= number) {
		struct rmd_unaccepted *kept = client->unaccepted;
		client->unaccepted = kept->next;
		rmd_buf_unref(kept->arguments);
		rmd_free(kept);
	}
	if (client->unaccepted == NULL)
		client->unaccepted_end = &client->unaccepted;
}

void rmd_pools_send_again(struct remuda *client)
{
	for (uint32_t i = 0; i < client->pool_count; i++) {
		/* A closed one is needed only for what may not have arrived. */
		if (client->unaccepted == NULL && rmd_client_pool_closed(client, i + 1))
			continue;
		struct rmd_wire_writer *writer = rmd_stream_begin(client->stream);
		rmd_session_request_put_open_pool(
			writer, i + 1, rmd_buf_slice(client->pools[i].raw_spec));
		rmd_stream_end(client->stream);
	}
}

void rmd_unaccepted_send_again(struct remuda *client)
{
	for (struct rmd_unaccepted *kept = client->unaccepted; kept != NULL;
	     kept = kept->next) {
		if (kept->spec.arguments_transfer != 0) {
			/* A fresh number: the old one may have been heard in part. */
			kept->spec.arguments_transfer = client->next_transfer++;
			rmd_send_transfer(client->stream, kept->spec.arguments_transfer,
					  kept->arguments);
		}
		struct rmd_wire_writer *writer = rmd_stream_begin(client->stream);
		rmd_session_request_put_submit(writer, kept->number, &kept->spec,
					       kept->arguments);
		rmd_stream_end(client->stream);
	}
}
