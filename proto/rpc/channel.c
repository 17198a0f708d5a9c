/* The client: channels and the calls on them. */
#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/rpc/address.h"
#include "proto/rpc/identity.h"
#include "proto/rpc/stream.h"
#include "proto/rpc/tls.h"

#define CHANNEL_MAGIC 0xc4a22e01u
#define MESSAGE_LIMIT_BYTES (64u << 20)

struct rmd_channel {
	uint32_t magic;
	struct rmd_loop *loop;
	grpc_channel *grpc;
	char *address;	     /* as it was given */
	bool secure;	     /* by TLS */
	grpc_metadata token; /* "authorization", owned; no key: none */
	size_t streams;
};

static grpc_arg number_arg(const char *key, uint32_t value)
{
	return (grpc_arg){.type = GRPC_ARG_INTEGER,
			  .key = (char *)(uintptr_t)key,
			  .value.integer = (int)value};
}

/* One word as RFC 6750 has it, of a sensible length. */
static bool is_token(const char *text)
{
	size_t len = strlen(text);
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return len > 0 && len <= RMD_TOKEN_MAX_BYTES;
}

/* Gives gRPC's channel to `target`, or over `fd` where that is not negative; takes it. */
static grpc_channel *make_grpc(const char *target, int fd, const struct rmd_tls *tls)
{
	/* The last is left out where there is no other name. */
	const char *name = tls == NULL ? NULL : tls->server_name;
	grpc_arg args[] = {
		number_arg(GRPC_ARG_ENABLE_RETRIES, 0),
		/* A proxy variable in the environment must not catch the cluster's
		   traffic. */
		number_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
		number_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
		number_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100),
		number_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000),
		number_arg(GRPC_ARG_MAX_METADATA_SIZE, 16384),
		number_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, MESSAGE_LIMIT_BYTES),
		number_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1),
		number_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 20000),
		number_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000),
		number_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
		number_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
		number_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0),
		number_arg(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4u << 20),
		number_arg(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 256u << 10),
		number_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
		{.type = GRPC_ARG_STRING,
		 .key = (char *)(uintptr_t)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
		 .value.string = (char *)(uintptr_t)name},
	};
	size_t count = sizeof args / sizeof *args - (name == NULL);
	grpc_channel_args channel_args = {count, args};
	grpc_channel_credentials *credentials =
		tls == NULL ? grpc_insecure_credentials_create() : rmd_tls_client(tls);
	grpc_channel *grpc =
		fd < 0 ? grpc_channel_create(target, credentials, &channel_args)
		       : grpc_channel_create_from_fd(target, fd, credentials,
						     &channel_args);
	grpc_channel_credentials_release(credentials);
	return grpc;
}

static struct rmd_channel *make(struct rmd_loop *loop, const char *address,
				const char *target, int fd, const struct rmd_tls *tls)
{
	struct rmd_channel *channel = rmd_calloc(1, sizeof *channel);
	char *copy = rmd_strdup(address);
	if (channel == NULL || copy == NULL) {
		rmd_free(channel);
		rmd_free(copy);
		return NULL;
	}
	*channel = (struct rmd_channel){.magic = CHANNEL_MAGIC,
					.loop = loop,
					.grpc = make_grpc(target, fd, tls),
					.address = copy,
					.secure = tls != NULL,
					.token.key = grpc_empty_slice(),
					.token.value = grpc_empty_slice()};
	rmd_loop_user_began(loop);
	return channel;
}

/* What is wrong with `options` for this address: *ret_why, and false. */
static bool options_will_do(const struct rmd_address *address, const char *text,
			    const struct rmd_channel_options *options, char **ret_why)
{
	bool local = address->kind == RMD_ADDRESS_UNIX;
	*ret_why = NULL;
	if (!local && address->port == 0)
		*ret_why = rmd_asprintf("%s: nobody can be reached at port 0", text);
	else if (options->token != NULL && !local && options->tls == NULL)
		*ret_why = rmd_asprintf("%s: a token is not sent without TLS, where "
					"everybody on the way could read it",
					text);
	else if (options->token != NULL && !is_token(options->token))
		*ret_why = rmd_strdup("the token is none: it is one word of printable "
				      "characters, at most 512");
	else
		return options->tls == NULL || local ||
		       rmd_tls_check(options->tls, RMD_TLS_CLIENT, ret_why) == 0;
	return false;
}

/* Keeps the token as metadata of all calls; false: out of memory. */
static bool set_token(struct rmd_channel *channel, const char *token)
{
	char *text = token == NULL ? NULL : rmd_asprintf("Bearer %s", token);
	if (text == NULL)
		return token == NULL;
	channel->token.key = grpc_slice_from_static_string("authorization");
	channel->token.value = grpc_slice_from_copied_string(text);
	explicit_bzero(text, strlen(text));
	rmd_free(text);
	return true;
}

struct rmd_channel *rmd_channel_open_with(struct rmd_loop *loop, const char *address,
					  const struct rmd_channel_options *options,
					  char **ret_why)
{
	struct rmd_address parsed;
	struct rmd_channel *channel = NULL;
	char *target = NULL;
	if (rmd_address_parse(address, &parsed, ret_why) < 0)
		return NULL;
	bool local = parsed.kind == RMD_ADDRESS_UNIX;
	if (options_will_do(&parsed, address, options, ret_why))
		target = rmd_address_target(&parsed);
	if (target != NULL)
		channel = make(loop, address, target, -1, local ? NULL : options->tls);
	if (channel != NULL && !set_token(channel, options->token)) {
		rmd_channel_close(channel);
		channel = NULL;
	}
	rmd_free(target);
	rmd_address_fini(&parsed);
	return channel;
}

struct rmd_channel *rmd_channel_open(struct rmd_loop *loop, const char *address,
				     char **ret_why)
{
	return rmd_channel_open_with(loop, address, &(struct rmd_channel_options){0},
				     ret_why);
}

struct rmd_channel *rmd_channel_open_fd(struct rmd_loop *loop, int fd, char **ret_why)
{
	int type = 0;
	socklen_t len = sizeof type;
	*ret_why = NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		*ret_why = rmd_asprintf("descriptor %d is not a connected stream socket",
					fd);
		close(fd);
		return NULL;
	}
	struct rmd_channel *channel =
		make(loop, "an inherited socket", "remuda", fd, NULL);
	if (channel == NULL)
		close(fd);
	return channel;
}

void rmd_channel_close(struct rmd_channel *channel)
{
	if (channel == NULL)
		return;
	RMD_CHECK_OBJ(channel, CHANNEL_MAGIC);
	RMD_CHECK(channel->streams == 0);
	struct rmd_loop *loop = channel->loop;
	grpc_channel_destroy(channel->grpc);
	grpc_slice_unref(channel->token.key);
	grpc_slice_unref(channel->token.value);
	rmd_free(channel->address);
	channel->magic = 0;
	rmd_free(channel);
	rmd_loop_user_ended(loop);
}

void rmd_channel_stream_closed(struct rmd_channel *channel)
{
	RMD_CHECK_OBJ(channel, CHANNEL_MAGIC);
	RMD_CHECK(channel->streams > 0);
	channel->streams--;
}

/* What a connection that was made and then broken off may mean. */
static const char *hint(const struct rmd_channel *channel, const char *reason)
{
	bool broken = strstr(reason, "Socket closed") != NULL ||
		      strstr(reason, "Connection reset") != NULL;
	if (!channel->secure && broken && strncmp(channel->address, "unix:", 5) != 0)
		return " (it may want TLS)";
	if (channel->secure && strstr(reason, "wrong version number") != NULL)
		return " (it does not speak TLS)";
	return "";
}

char *rmd_channel_connect_text(const struct rmd_channel *channel, const char *text)
{
	static const char refused[] = "failed to connect to all addresses";
	static const char unknown[] = "DNS resolution failed";
	if (strncmp(text, refused, sizeof refused - 1) != 0 &&
	    strncmp(text, unknown, sizeof unknown - 1) != 0)
		return NULL;
	const char *reason = strstr(text, "last error: ");
	reason = reason == NULL ? text : reason + strlen("last error: ");
	if (strncmp(reason, "UNKNOWN: ", 9) == 0)
		reason += 9;
	if (strncmp(reason, "UNAVAILABLE: ", 13) == 0)
		reason += 13;
	return rmd_asprintf("cannot connect to %s: %s%s", channel->address, reason,
			    hint(channel, reason));
}

static gpr_timespec deadline_at(uint64_t deadline_ms)
{
	if (deadline_ms == 0 || deadline_ms > UINT64_C(1000000000000000))
		return gpr_inf_future(GPR_CLOCK_MONOTONIC);
	return (gpr_timespec){.tv_sec = (int64_t)(deadline_ms / 1000),
			      .tv_nsec = (int32_t)(deadline_ms % 1000) * 1000000,
			      .clock_type = GPR_CLOCK_MONOTONIC};
}

struct rmd_stream *rmd_channel_call(struct rmd_channel *channel, const char *path,
				    uint64_t deadline_ms, bool wait_for_ready,
				    const struct rmd_stream_events *events, void *ctx)
{
	RMD_CHECK_OBJ(channel, CHANNEL_MAGIC);
	struct rmd_stream *stream = rmd_stream_create(channel->loop, RMD_SIDE_CLIENT);
	if (stream == NULL)
		return NULL;
	stream->channel = channel;
	if (!GRPC_SLICE_IS_EMPTY(channel->token.key))
		stream->greeting = &channel->token;
	if (wait_for_ready)
		stream->greeting_flags =
			GRPC_INITIAL_METADATA_WAIT_FOR_READY |
			GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
	stream->call =
		grpc_channel_create_call(channel->grpc, NULL, GRPC_PROPAGATE_DEFAULTS,
					 rmd_loop_queue(channel->loop, RMD_QUEUE_HOT),
					 grpc_slice_from_static_string(path), NULL,
					 deadline_at(deadline_ms), NULL);
	RMD_CHECK(stream->call != NULL);
	rmd_stream_listen(stream, events, ctx);
	channel->streams++;
	rmd_loop_user_began(channel->loop);
	rmd_stream_run(stream);
	return stream;
}
