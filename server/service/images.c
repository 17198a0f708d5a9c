/* Images for agents: the bytes of captured programs, when an agent asks for them. */
#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/link/link.h"
#include "server/service/hub_parts.h"

/* An agent that asks for more than its link takes is told no. */
#define PENDING_MAX_BYTES (UINT64_C(4) << 30)

void rmd_hub_send_image(struct rmd_hub *hub, const struct rmd_digest *digest)
{
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	if (hub->link == NULL)
		return;
	struct rmd_blob *blob =
		rmd_blobs_find(hub->coordinator->blobs, digest, rmd_clock_mono_ms());
	struct rmd_module_image image = {.digest = *digest};
	if (blob != NULL && rmd_link_pending_bytes(hub->link) <= PENDING_MAX_BYTES) {
		image.name = rmd_slice_of_string(blob->name);
		image.transfer = ++hub->last_transfer;
		if (rmd_link_send_transfer(hub->link, image.transfer,
					   rmd_piece_ref(blob->bytes)) < 0) {
			rmd_hub_cut(hub, "out of memory for an image");
			return;
		}
	}
	rmd_attach_response_put_module(rmd_link_begin(hub->link), &image);
	rmd_link_end(hub->link);
}
