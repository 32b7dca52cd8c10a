# A machine for tests as an ordinary user ($uid, $gid), in a network and a mount namespace of their own: root makes it, and what runs
# in it ends with the tests. The addresses are those of lan.ts.
mount -t tmpfs -o mode=755 tmpfs /mnt && mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun
mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns
ip netns add there
ip link set lo up
ip link add up0 type veth peer name lan0 netns there
ip address add 192.168.77.1/24 dev up0 && ip address add fd77::1/64 dev up0 nodad && ip link set up0 up
ip -n there link set lo up
ip -n there address add 192.168.77.2/24 dev lan0 && ip -n there address add fd77::2/64 dev lan0 nodad
ip -n there link set lan0 up
ip route add default via 192.168.77.2 && ip -6 route add default via fd77::2
answering='
import http.server, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write((sys.argv[1] + " " + self.client_address[0]).encode())
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
Server((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
'
# By the user: a signal from a parent that ends is one of a user, and root would not get it.
last="setpriv --reuid=$uid --regid=$gid --clear-groups --pdeathsig KILL /usr/bin/python3 -u -c"
ip netns exec there $last "$answering" world :: 9000 >/dev/null 2>&1 &
$last "$answering" host :: 9001 >/dev/null 2>&1 &
$last "$answering" loopback 127.0.0.1 9002 >/dev/null 2>&1 &
export CAISSON_TEST_MACHINE=$(readlink /proc/self/ns/net)
