/* Where a server listens, and the connections that it is handed. */
#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/rpc/address.h"
#include "proto/rpc/server.h"
#include "proto/rpc/tls.h"
#include "proto/rpc/unix_listener.h"

/* Who is at the other end of a descriptor. */
struct known_peer {
	int64_t uid, pid;
};

/* A connection on its way from the listener's thread to the loop. */
struct arrival {
	struct rmd_post post;
	struct rmd_server *server;
	int fd;
	int64_t uid, pid;
};

static int listen_unix(struct rmd_server *server, const char *path, char **ret_address,
		       char **ret_why)
{
	if (server->listener_count == RMD_LISTENERS_MAX) {
		*ret_why = rmd_asprintf("unix:%s: at most %u unix sockets can be served",
					path, RMD_LISTENERS_MAX);
		return RMD_EINVAL;
	}
	struct rmd_unix_listener *listener;
	int code = rmd_unix_listener_open(path, &listener, ret_why);
	if (code < 0)
		return code;
	char *address = rmd_asprintf("unix:%s", rmd_unix_listener_path(listener));
	if (address == NULL) {
		rmd_unix_listener_close(listener);
		*ret_why = NULL;
		return RMD_ENOMEM;
	}
	server->listeners[server->listener_count++] = listener;
	*ret_address = address;
	return 0;
}

/* gRPC does not say why it cannot listen, so this tries by itself and tells what it
 * meets. */
static char *why_not(const char *address, const struct rmd_address *parsed)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
			*found = NULL;
	int unknown = getaddrinfo(parsed->place, NULL, &hints, &found);
	if (unknown != 0)
		return rmd_asprintf("cannot listen on %s: the host \"%s\": %s", address,
				    parsed->place, gai_strerror(unknown));
	int error = 0, fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    one = 1;
	if (fd >= 0 && found->ai_family == AF_INET)
		((struct sockaddr_in *)(void *)found->ai_addr)->sin_port =
			htons(parsed->port);
	else if (fd >= 0)
		((struct sockaddr_in6 *)(void *)found->ai_addr)->sin6_port =
			htons(parsed->port);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 1) < 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	freeaddrinfo(found);
	const char *advice =
		error == EADDRINUSE ? ": stop who uses it, or take another port (0: any)"
		: error == EACCES   ? ": ports under 1024 are for root; take another"
		: error == EADDRNOTAVAIL
			? ": this host has no such address; 0.0.0.0 is all it has"
			: "";
	return rmd_asprintf("cannot listen on %s: %s%s", address,
			    error == 0 ? "gRPC refuses it" : strerror(error), advice);
}

static int listen_tcp(struct rmd_server *server, const char *text,
		      const struct rmd_tls *tls, struct rmd_address *address,
		      char **ret_address, char **ret_why)
{
	int code = tls == NULL ? 0 : rmd_tls_check(tls, RMD_TLS_SERVER, ret_why);
	if (code < 0)
		return code;
	rmd_server_ensure_grpc(server);
	char *host_port = rmd_address_host_port(address);
	if (host_port == NULL) {
		*ret_why = NULL;
		return RMD_ENOMEM;
	}
	grpc_server_credentials *credentials =
		tls == NULL ? grpc_insecure_server_credentials_create()
			    : rmd_tls_server(tls);
	int port = grpc_server_add_http2_port(server->grpc, host_port, credentials);
	grpc_server_credentials_release(credentials);
	rmd_free(host_port);
	if (port <= 0) {
		*ret_why = why_not(text, address);
		return RMD_ESYS;
	}
	address->port = (uint16_t)port;
	host_port = rmd_address_host_port(address);
	char *result = host_port == NULL ? NULL : rmd_asprintf("tcp:%s", host_port);
	rmd_free(host_port);
	if (result == NULL) {
		*ret_why = NULL;
		return RMD_ENOMEM;
	}
	*ret_address = result;
	return 0;
}

int rmd_server_listen(struct rmd_server *server, const char *address,
		      const struct rmd_tls *tls, char **ret_address, char **ret_why)
{
	RMD_CHECK_OBJ(server, RMD_SERVER_MAGIC);
	RMD_CHECK(server->state == SERVER_CREATED);
	struct rmd_address parsed;
	int code = rmd_address_parse(address, &parsed, ret_why);
	if (code < 0)
		return code;
	switch (parsed.kind) {
	case RMD_ADDRESS_UNIX:
		code = listen_unix(server, parsed.place, ret_address, ret_why);
		break;
	case RMD_ADDRESS_TCP:
		code = listen_tcp(server, address, tls, &parsed, ret_address, ret_why);
		break;
	case RMD_ADDRESS_DNS:
		*ret_why =
			rmd_asprintf("%s: dns:/// is for clients: listen on unix:PATH or "
				     "tcp:HOST:PORT",
				     address);
		code = RMD_EINVAL;
		break;
	}
	rmd_address_fini(&parsed);
	return code;
}

/* ---- connections ---- */

static void remember_peer(struct rmd_server *server, int fd, int64_t uid, int64_t pid)
{
	struct known_peer *peer = rmd_map_get(&server->peers, (uint64_t)fd);
	bool fresh = peer == NULL;
	if (fresh)
		peer = rmd_malloc(sizeof *peer);
	if (peer == NULL)
		return; /* an unknown peer has uid -1: the safe side */
	*peer = (struct known_peer){uid, pid};
	if (fresh && rmd_map_put(&server->peers, (uint64_t)fd, peer) < 0)
		rmd_free(peer);
}

static void adopt(struct rmd_server *server, int fd, int64_t uid, int64_t pid)
{
	remember_peer(server, fd, uid, pid);
	grpc_server_credentials *insecure = grpc_insecure_server_credentials_create();
	grpc_server_add_channel_from_fd(server->grpc, fd, insecure);
	grpc_server_credentials_release(insecure);
}

static void on_arrival(struct rmd_post *post)
{
	struct arrival *arrival = RMD_CONTAINER_OF(post, struct arrival, post);
	struct rmd_server *server = arrival->server;
	if (server->state == SERVER_SERVING)
		adopt(server, arrival->fd, arrival->uid, arrival->pid);
	else
		close(arrival->fd);
	rmd_free(arrival);
	atomic_fetch_sub(&server->arrivals, 1);
	rmd_server_maybe_finish(server);
}

void rmd_server_on_accepted(void *ctx, int fd, uid_t uid, pid_t pid)
{
	struct rmd_server *server = ctx;
	struct arrival *arrival = rmd_calloc(1, sizeof *arrival);
	if (arrival == NULL) {
		close(fd);
		return;
	}
	*arrival = (struct arrival){.post.run = on_arrival,
				    .server = server,
				    .fd = fd,
				    .uid = (int64_t)uid,
				    .pid = (int64_t)pid};
	atomic_fetch_add(&server->arrivals, 1);
	rmd_loop_post(server->loop, &arrival->post);
}

int rmd_server_add_fd(struct rmd_server *server, int fd)
{
	RMD_CHECK_OBJ(server, RMD_SERVER_MAGIC);
	int type = 0;
	socklen_t len = sizeof type;
	if (server->state != SERVER_SERVING) {
		close(fd);
		return RMD_ECLOSED;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		close(fd);
		return RMD_EINVAL;
	}
	struct ucred peer = {.uid = (uid_t)-1};
	len = sizeof peer;
	bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
		     peer.uid != (uid_t)-1;
	adopt(server, fd, known ? (int64_t)peer.uid : -1, known ? (int64_t)peer.pid : -1);
	return 0;
}

void rmd_server_forget_peers(struct rmd_server *server)
{
	size_t cursor = 0;
	struct known_peer *peer;
	while ((peer = rmd_map_next(&server->peers, &cursor)) != NULL)
		rmd_free(peer);
	rmd_map_fini(&server->peers);
}

char *rmd_server_peer(struct rmd_server *server, const char *peer, int64_t *ret_uid,
		      int64_t *ret_pid)
{
	char *end;
	if (strncmp(peer, "fd:", 3) != 0)
		return rmd_strdup(peer);
	unsigned long fd = strtoul(peer + 3, &end, 10);
	const struct known_peer *known = rmd_map_get(&server->peers, fd);
	if (known == NULL || known->uid < 0)
		return rmd_strdup(peer);
	*ret_uid = known->uid;
	*ret_pid = known->pid;
	return rmd_asprintf("unix:pid=%lld,uid=%lld", (long long)known->pid,
			    (long long)known->uid);
}
