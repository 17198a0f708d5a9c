/* Which encoder: the client's own, else the process's, else REMUDA_ENCODER, else schema.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "client/c/src/function_value.h"

static _Atomic int of_process = REMUDA_ENCODER_DEFAULT;

static enum remuda_encoder of_environment(void)
{
	const char *said = getenv("REMUDA_ENCODER");
	if (said != NULL && strcmp(said, "capture") == 0)
		return REMUDA_ENCODER_CAPTURE;
	if (said != NULL && strcmp(said, "auto") == 0)
		return REMUDA_ENCODER_AUTO;
	return REMUDA_ENCODER_SCHEMA;
}

enum remuda_encoder rmd_encoder_of(const struct remuda *client)
{
	int encoder = atomic_load(&client->encoder);
	if (encoder == REMUDA_ENCODER_DEFAULT)
		encoder = atomic_load(&of_process);
	return encoder == REMUDA_ENCODER_DEFAULT ? of_environment()
						 : (enum remuda_encoder)encoder;
}

static int check(enum remuda_encoder encoder)
{
	return (int)encoder < REMUDA_ENCODER_DEFAULT || encoder > REMUDA_ENCODER_AUTO
		       ? REMUDA_EINVAL
		       : 0;
}

int remuda_set_encoder(enum remuda_encoder encoder)
{
	int code = check(encoder);
	if (code == 0)
		atomic_store(&of_process, encoder);
	return code;
}

int remuda_client_set_encoder(struct remuda *client, enum remuda_encoder encoder)
{
	int code = client == NULL ? REMUDA_EINVAL : check(encoder);
	if (code == 0)
		atomic_store(&client->encoder, encoder);
	return code;
}
