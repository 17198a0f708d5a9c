#!/bin/sh
# The cluster part of the demo, run inside a fresh network and mount namespace (a bridge host):
# a coordinator here, two agents in namespaces of their own, joined by veth pairs.
#
#   two_agents.sh WORK MODULES BIN
work=$1
modules=$2
bin=$3
mkdir -p "$work/netns"
# Named namespaces live in this mount namespace only: they go when it goes.
mkdir -p /run/netns
mount -t tmpfs remuda-netns /run/netns
ip link set lo up
ip link add br0 type bridge
ip addr add 10.231.0.1/24 dev br0
ip link set br0 up

pids=
stop_all() {
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	for pid in $pids; do wait "$pid" 2>/dev/null || true; done
	for n in 1 2; do ip netns del "agent$n" 2>/dev/null || true; done
}
trap stop_all EXIT

for n in 1 2; do
	ip netns add "agent$n"
	ip link add "veth$n" type veth peer name eth0 netns "agent$n"
	ip link set "veth$n" master br0 up
	ip -n "agent$n" addr add "10.231.0.1$n/24" dev eth0
	ip -n "agent$n" link set eth0 up
	ip -n "agent$n" link set lo up
done

mkfifo "$work/ready"
"$bin/remudad" --listen tcp:10.231.0.1:0 --insecure --ready-fd 5 5>"$work/ready" 2>"$work/remudad.log" &
pids="$pids $!"
read -r _ address <"$work/ready"
for n in 1 2; do
	ip netns exec "agent$n" "$bin/remuda-agent" --coordinator "$address" --insecure \
		--name "host$n" --workers-max 1 --module "$modules/files.so" 2>"$work/agent$n.log" &
	pids="$pids $!"
done
export REMUDA_ADDRESS="$address"
start=$(date +%s%3N)
"$bin/remuda" map -r native:files.sha256 <"$work/files" >"$work/out2"
echo "   through $address: $(($(date +%s%3N) - start)) ms"
"$bin/remuda" workers | sed 's/^/   /'
