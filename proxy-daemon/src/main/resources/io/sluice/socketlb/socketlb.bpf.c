// SPDX-License-Identifier: Apache-2.0
//
// Chooses the endpoint of a connection to a ClusterIP when a process calls connect(). No packet of the connection then
// passes a proxy or NAT. README.md in io/sluice/socketlb describes the maps and how the daemon changes them.
//
// Addresses have 16 bytes; IPv4 addresses are in the IPv4-mapped form. So a program with an AF_INET6 socket, such as any
// JVM, gets the same endpoints as one with an AF_INET socket. Addresses and ports are in network byte order.

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262
// Keeps the compiler from moving the read of a variable.
#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7
#define NANOS_PER_SECOND 1000000000ULL

// A frontend is read again if its endpoints were replaced while it was used.
#define TRIES 3

struct address {
	__be32 ip[4];
	__u32 port; // as in struct bpf_sock_addr: the port in the first two bytes, then zeros
};

struct pair {
	struct address frontend;
	struct address endpoint;
};

// The endpoints of a frontend are the entries [0, count) of a set. A set never changes; the daemon writes a new one and
// then replaces this struct.
struct frontend {
	__u64 set;
	__u32 count;
	__u32 offset; // added to the cursor, so that a new set continues where the last one was
	__u32 affinity_seconds; // 0 for no session affinity
	__u32 zero;
};

struct set_index {
	__u64 set;
	__u32 index;
	__u32 zero;
};

struct set_entry {
	__u64 set;
	struct address endpoint;
	struct address frontend;
};

struct affinity_key {
	__u64 client; // cookie of the client's network namespace
	struct address frontend;
	__u32 zero;
};

struct affinity_entry {
	__u64 last_used_nanos; // 0 while a thread replaces the entry
	struct address endpoint;
	struct address client; // of its last connection, for listings; zeros until one is established
};

// Per CPU, but still changed atomically, because the end of a connection can interrupt the start of another.
struct traffic {
	__u64 opened;
	__u64 closed;
	__u64 refused;
	__u64 silent;
};

struct connection {
	struct pair to;
	struct address client;
	__u32 zero;
	__u64 since_nanos;
	__u64 netns;
};

enum outcome {
	ANSWERED = 0, // sent only after a failure
	REFUSED = 1,
	SILENT = 2, // a SYN and a retransmission were not answered
	ABORTED = 3, // closed before a TCP answer: by the client, or because of an ICMP error
};

struct event {
	struct pair to;
	__u32 outcome;
	__u32 zero;
};

// What is known of a socket that was connected to a frontend.
struct socket {
	struct pair to;
	__u64 netns;
	__u8 has_affinity;
	__u8 reported; // whether a failure was reported
	__u8 counted; // whether the connection was counted as opened
	__u8 zero[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct address);
	__type(value, struct frontend);
} frontends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct set_index);
	__type(value, struct set_entry);
} endpoints SEC(".maps");

// The round-robin position of a frontend. It only ever increases.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct address);
	__type(value, __u64);
} cursors SEC(".maps");

// The endpoints of frontends with session affinity, to check an affinity entry.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct pair);
	__type(value, __u8);
} members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity_entry);
} affinity SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct pair);
	__type(value, struct traffic);
} traffic SEC(".maps");

// The open connections by socket cookie. If the map is full, more of them are counted but not listed.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, __u64);
	__type(value, struct connection);
} connections SEC(".maps");

// The endpoints whose last attempt failed.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct pair);
	__type(value, __u8);
} failing SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket);
} sockets SEC(".maps");

static __always_inline int same(const struct address *a, const struct address *b)
{
	return a->ip[0] == b->ip[0] && a->ip[1] == b->ip[1] && a->ip[2] == b->ip[2] && a->ip[3] == b->ip[3]
	       && a->port == b->port;
}

// Takes the next endpoint in round-robin order. Returns 0 if the frontend or the set was replaced meanwhile.
static __always_inline int take_turn(const struct frontend *frontend, __u64 *cursor, const struct address *of,
				     struct address *endpoint)
{
	struct set_index at = {.set = frontend->set};
	at.index = (__sync_fetch_and_add(cursor, 1) + frontend->offset) % frontend->count;
	struct set_entry *found = bpf_map_lookup_elem(&endpoints, &at);
	if (!found)
		return 0;
	*endpoint = found->endpoint;
	// The kernel may reuse the memory of a replaced entry while this program reads it, also for another frontend.
	return found->set == frontend->set && same(&found->frontend, of);
}

static __always_inline int is_valid(const struct affinity_entry *entry, const struct frontend *frontend,
				    struct pair *to, __u64 now)
{
	if (now - entry->last_used_nanos >= frontend->affinity_seconds * NANOS_PER_SECOND)
		return 0;
	to->endpoint = entry->endpoint;
	return bpf_map_lookup_elem(&members, to) != 0;
}

// Chooses the endpoint of the client's affinity entry, or else the given candidate, which the entry then keeps. Of
// several threads that find no valid entry at the same time, one wins.
static __always_inline void stick(const struct frontend *frontend, __u64 client, struct pair *to,
				  const struct address *candidate)
{
	struct affinity_key key = {.client = client, .frontend = to->frontend};
	__u64 now = bpf_ktime_get_ns();
	struct affinity_entry mine = {.last_used_nanos = now, .endpoint = *candidate};
	for (int i = 0; i < TRIES; i++) {
		struct affinity_entry *entry = bpf_map_lookup_elem(&affinity, &key);
		if (entry) {
			__u64 last_used = entry->last_used_nanos;
			if (is_valid(entry, frontend, to, now)) {
				entry->last_used_nanos = now;
				return;
			}
			if (last_used != 0 && __sync_val_compare_and_swap(&entry->last_used_nanos, last_used, 0) == last_used)
				bpf_map_delete_elem(&affinity, &key);
		}
		if (!bpf_map_update_elem(&affinity, &key, &mine, BPF_NOEXIST))
			break;
	}
	to->endpoint = *candidate;
}

// Finds the endpoint of a valid affinity entry, without taking a turn.
static __always_inline int is_stuck(const struct frontend *frontend, __u64 client, struct pair *to)
{
	struct affinity_key key = {.client = client, .frontend = to->frontend};
	__u64 now = bpf_ktime_get_ns();
	struct affinity_entry *entry = bpf_map_lookup_elem(&affinity, &key);
	if (!entry || !is_valid(entry, frontend, to, now))
		return 0;
	entry->last_used_nanos = now;
	return 1;
}

enum choice {
	NONE = 0,
	IN_TURN = 1,
	BY_AFFINITY = 2,
};

static __always_inline enum choice choose(struct pair *to, __u64 netns)
{
	for (int i = 0; i < TRIES; i++) {
		struct frontend *found = bpf_map_lookup_elem(&frontends, &to->frontend);
		if (!found)
			return NONE;
		struct frontend frontend = *found;
		if (frontend.count == 0)
			return NONE;
		if (frontend.affinity_seconds && is_stuck(&frontend, netns, to))
			return BY_AFFINITY;
		__u64 *cursor = bpf_map_lookup_elem(&cursors, &to->frontend);
		if (!cursor)
			return NONE;
		struct address candidate;
		if (take_turn(&frontend, cursor, &to->frontend, &candidate)) {
			if (!frontend.affinity_seconds) {
				to->endpoint = candidate;
				return IN_TURN;
			}
			stick(&frontend, netns, to, &candidate);
			return BY_AFFINITY;
		}
	}
	return NONE;
}

// Returns 1 if the connection goes to the endpoint in `to`, and 0 if its destination does not change.
static __always_inline int redirect(struct bpf_sock_addr *ctx, struct pair *to)
{
	if (ctx->type != SOCK_STREAM || (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_MPTCP))
		return 0;
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return 0;
	__u64 netns = bpf_get_netns_cookie(ctx);
	enum choice chosen = choose(to, netns);
	// A socket whose first attempt failed can be connected again, to another address.
	struct socket *socket = bpf_sk_storage_get(&sockets, sk, 0, chosen ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (socket) {
		socket->to = *to;
		socket->netns = netns;
		socket->reported = 0;
		socket->counted = 0;
		socket->has_affinity = chosen == BY_AFFINITY;
		if (!chosen)
			socket->to.endpoint.port = 0;
	}
	// Without storage, getpeername would show the endpoint; such a connection goes through the forwarder.
	return chosen && socket;
}

SEC("cgroup/connect4")
int sluice_connect4(struct bpf_sock_addr *ctx)
{
	struct pair to = {};
	to.frontend.ip[2] = bpf_htonl(0xffff);
	to.frontend.ip[3] = ctx->user_ip4;
	to.frontend.port = ctx->user_port;
	if (redirect(ctx, &to)) {
		ctx->user_ip4 = to.endpoint.ip[3];
		ctx->user_port = to.endpoint.port;
	}
	return 1;
}

SEC("cgroup/connect6")
int sluice_connect6(struct bpf_sock_addr *ctx)
{
	struct pair to = {};
	to.frontend.ip[0] = ctx->user_ip6[0];
	to.frontend.ip[1] = ctx->user_ip6[1];
	to.frontend.ip[2] = ctx->user_ip6[2];
	to.frontend.ip[3] = ctx->user_ip6[3];
	to.frontend.port = ctx->user_port;
	if (redirect(ctx, &to)) {
		ctx->user_ip6[0] = to.endpoint.ip[0];
		ctx->user_ip6[1] = to.endpoint.ip[1];
		ctx->user_ip6[2] = to.endpoint.ip[2];
		ctx->user_ip6[3] = to.endpoint.ip[3];
		ctx->user_port = to.endpoint.port;
	}
	return 1;
}

// The frontend of a socket whose peer is the address; null if the socket was not redirected to it.
static __always_inline struct address *frontend_of(struct bpf_sock_addr *ctx, const struct address *peer)
{
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return 0;
	struct socket *socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	return socket && same(&socket->to.endpoint, peer) ? &socket->to.frontend : 0;
}

SEC("cgroup/getpeername4")
int sluice_getpeername4(struct bpf_sock_addr *ctx)
{
	struct address peer = {{0, 0, bpf_htonl(0xffff), ctx->user_ip4}, ctx->user_port};
	struct address *frontend = frontend_of(ctx, &peer);
	if (frontend) {
		ctx->user_ip4 = frontend->ip[3];
		ctx->user_port = frontend->port;
	}
	return 1;
}

SEC("cgroup/getpeername6")
int sluice_getpeername6(struct bpf_sock_addr *ctx)
{
	struct address peer = {};
	peer.ip[0] = ctx->user_ip6[0];
	peer.ip[1] = ctx->user_ip6[1];
	peer.ip[2] = ctx->user_ip6[2];
	peer.ip[3] = ctx->user_ip6[3];
	peer.port = ctx->user_port;
	struct address *frontend = frontend_of(ctx, &peer);
	if (frontend) {
		ctx->user_ip6[0] = frontend->ip[0];
		ctx->user_ip6[1] = frontend->ip[1];
		ctx->user_ip6[2] = frontend->ip[2];
		ctx->user_ip6[3] = frontend->ip[3];
		ctx->user_port = frontend->port;
	}
	return 1;
}

static __always_inline struct traffic *traffic_of(const struct pair *to)
{
	struct traffic *known = bpf_map_lookup_elem(&traffic, to);
	if (known)
		return known;
	struct traffic none = {};
	bpf_map_update_elem(&traffic, to, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&traffic, to);
}

static __always_inline void report(const struct pair *to, __u32 outcome)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return;
	event->to = *to;
	event->outcome = outcome;
	event->zero = 0;
	bpf_ringbuf_submit(event, 0);
}

// The daemon finds out which of the two it was: the program cannot read the error of the socket.
static __always_inline void report_aborted(struct socket *socket)
{
	struct pair to = socket->to;
	socket->reported = 1;
	report(&to, ABORTED);
}

static __always_inline void failed(struct socket *socket, __u32 outcome)
{
	__u8 one = 1;
	if (socket->reported)
		return;
	socket->reported = 1;
	struct pair to = socket->to;
	struct traffic *counts = traffic_of(&to);
	if (counts)
		__sync_fetch_and_add(outcome == REFUSED ? &counts->refused : &counts->silent, 1);
	bpf_map_update_elem(&failing, &to, &one, BPF_ANY);
	report(&to, outcome);
}

// Keeps the client's address, which was not known yet when the endpoint was chosen.
static __always_inline void note_client(const struct connection *connection)
{
	struct affinity_key key = {.client = connection->netns, .frontend = connection->to.frontend};
	struct affinity_entry *entry = bpf_map_lookup_elem(&affinity, &key);
	if (entry)
		entry->client = connection->client;
}

static __always_inline void established(struct bpf_sock_ops *ops, struct socket *socket)
{
	struct connection connection = {.to = socket->to, .netns = socket->netns};
	struct traffic *counts = traffic_of(&connection.to);
	if (counts) {
		__sync_fetch_and_add(&counts->opened, 1);
		socket->counted = 1;
	}
	if (bpf_map_lookup_elem(&failing, &connection.to) && !bpf_map_delete_elem(&failing, &connection.to))
		report(&connection.to, ANSWERED);
	// Reads both addresses, because the verifier rejects a branch that selects the address in the context.
	__u32 v4 = ops->local_ip4;
	barrier_var(v4);
	__u32 v6[4] = {ops->local_ip6[0], ops->local_ip6[1], ops->local_ip6[2], ops->local_ip6[3]};
	barrier_var(v6[3]);
	int is_v4 = ops->family == AF_INET;
	connection.client.ip[0] = is_v4 ? 0 : v6[0];
	connection.client.ip[1] = is_v4 ? 0 : v6[1];
	connection.client.ip[2] = is_v4 ? bpf_htonl(0xffff) : v6[2];
	connection.client.ip[3] = is_v4 ? v4 : v6[3];
	connection.client.port = bpf_htons(ops->local_port);
	connection.since_nanos = bpf_ktime_get_ns();
	if (socket->has_affinity)
		note_client(&connection);
	__u64 cookie = bpf_get_socket_cookie(ops);
	bpf_map_update_elem(&connections, &cookie, &connection, BPF_ANY);
	bpf_sock_ops_cb_flags_set(ops, (ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG)
					       & ~BPF_SOCK_OPS_RTO_CB_FLAG);
}

static __always_inline void closed(struct bpf_sock_ops *ops, struct socket *socket)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	bpf_map_delete_elem(&connections, &cookie);
	if (!socket->counted)
		return;
	socket->counted = 0;
	struct pair to = socket->to;
	struct traffic *counts = traffic_of(&to);
	if (counts)
		__sync_fetch_and_add(&counts->closed, 1);
}

SEC("sockops")
int sluice_sockops(struct bpf_sock_ops *ops)
{
	__u32 op = ops->op;
	if (op != BPF_SOCK_OPS_TCP_CONNECT_CB && op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && op != BPF_SOCK_OPS_RTO_CB
	    && op != BPF_SOCK_OPS_STATE_CB)
		return 1;
	struct bpf_sock *sk = ops->sk;
	if (!sk)
		return 1;
	struct socket *socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!socket || socket->to.endpoint.port == 0)
		return 1;
	switch (op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG
						       | BPF_SOCK_OPS_RTO_CB_FLAG);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		established(ops, socket);
		break;
	case BPF_SOCK_OPS_RTO_CB:
		// The first timeout has sent one retransmission.
		if (ops->state == TCP_SYN_SENT && ops->args[0] >= 1)
			failed(socket, SILENT);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] != TCP_CLOSE)
			break;
		if (ops->args[0] != TCP_SYN_SENT)
			closed(ops, socket);
		else if (ops->segs_in > 0)
			failed(socket, REFUSED);
		else if (ops->total_retrans > 0)
			failed(socket, SILENT);
		else if (!socket->reported)
			report_aborted(socket);
		break;
	}
	return 1;
}

char _license[] SEC("license") = "Apache-2.0";
