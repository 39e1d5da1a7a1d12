# Peers in network namespaces, for iptables.test.ts.
#   serve NAME:PORT[:transparent] …        TCP on [::], answers each connection with NAME and its own local address
#   dns NAME:PORT[:UID] …                  UDP, likewise; as that user on loopback, as the proxy does
#   ask UID GID HOST PORT [SOURCE] [udp]   prints the answer, or the error's name
import os, select, socket, sys


def serve(specs, kind):
    servers = {}
    for spec in specs:
        name, port, *more = spec.split(":")
        # A socket belongs to who made it.
        if more and kind == socket.SOCK_DGRAM:
            os.setuid(int(more[0]))
        # Answers to redirected datagrams have to leave from loopback.
        for host in ["127.0.0.1", "::1"] if more and kind == socket.SOCK_DGRAM else ["::"]:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            server = socket.socket(family, kind)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if host == "::":
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if more and kind == socket.SOCK_STREAM:
                server.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
                server.setsockopt(socket.IPPROTO_IPV6, 75, 1)  # IPV6_TRANSPARENT
            server.bind((host, int(port)))
            if kind == socket.SOCK_STREAM:
                server.listen(64)
            servers[server] = name
    print("ready", flush=True)
    while True:
        for server in select.select(list(servers), [], [])[0]:
            if kind == socket.SOCK_DGRAM:
                _, client = server.recvfrom(1000)
                server.sendto(servers[server].encode(), client)
                continue
            client, _ = server.accept()
            host, port = client.getsockname()[:2]
            client.sendall(f"{servers[server]} {host.removeprefix('::ffff:')} {port}".encode())
            client.close()


def ask(uid, gid, host, port, source="", protocol="tcp"):
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    client = socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
    client.settimeout(5)
    try:
        if source:
            client.bind((source, 0))
        client.connect((host, int(port)))
        if protocol == "udp":
            client.send(b"?")
        print(client.recv(1000).decode())
    except OSError as error:
        print(type(error).__name__)


verb, *args = sys.argv[1:]
if verb == "ask":
    ask(*args)
else:
    serve(args, socket.SOCK_DGRAM if verb == "dns" else socket.SOCK_STREAM)
