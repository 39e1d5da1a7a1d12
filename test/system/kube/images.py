#!/usr/bin/env python3
"""The images of the node's pods, from this machine's own files: no registry, no container engine.

    images.py OUT KUBERNETES REPOSITORY    makes OUT/{pause,coredns,remora,tools}.tar, docker archives of one layer

`remora` is what the Dockerfile makes (its paths, user and entry point) around the node binary and dist/ of REPOSITORY;
it has two tags, so that a control server can be upgraded from one to the other. Says which archives changed.
"""
import hashlib, io, json, os, re, subprocess, sys, tarfile

XTABLES = '/usr/lib/x86_64-linux-gnu/xtables'
PASSWD = b'root:x:0:0::/root:/bin/sh\nremora:x:1337:1337::/:/bin/sh\n'
GROUP = b'root:x:0:\nremora:x:1337:\n'


class Root:
    """Files of an image by their paths: a file here, (text,) or a link."""

    def __init__(self):
        self.files = {}
        for name, text in (('passwd', PASSWD), ('group', GROUP), ('nsswitch.conf', b'hosts: files dns\n')):
            self.files['/etc/' + name] = (text,)
        # Named by libraries, loaded by the C library when names are looked up.
        for name in ('libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2'):
            path = '/lib/x86_64-linux-gnu/' + name
            if os.path.exists(path):
                self.files[path] = path

    def add(self, source, path=None):
        """A file, and the libraries it is linked to."""
        source = os.path.realpath(source)
        self.files[path or source] = source
        linked = subprocess.run(['ldd', source], capture_output=True, text=True).stdout
        for library in re.findall(r'(/\S+) \(0x', linked):
            self.files[library] = os.path.realpath(library)
        return self

    def program(self, name):
        """A program of the PATH, under the name by which it was found."""
        for folder in os.environ['PATH'].split(':') + ['/usr/sbin', '/sbin']:
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK):
                return self.add(path, '/usr/bin/' + name)
        sys.exit(f'test/system/kube: {name} is missing')

    def tree(self, source, path):
        for folder, _, names in os.walk(source):
            for name in names:
                file = os.path.join(folder, name)
                self.files[os.path.join(path, os.path.relpath(file, source))] = file
        return self

    def link(self, path, target):
        self.files[path] = ('->', target)
        return self

    def busybox(self):
        self.program('busybox')
        for name in subprocess.run(['busybox', '--list'], capture_output=True, text=True).stdout.split():
            self.files.setdefault('/bin/' + name, ('->', '/usr/bin/busybox'))
        return self

    def layer(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode='w', format=tarfile.GNU_FORMAT) as tar:
            for name, mode in (('tmp', 0o1777), ('run', 0o755), ('proc', 0o755), ('sys', 0o755), ('dev', 0o755)):
                folder = tarfile.TarInfo(name)
                folder.type, folder.mode = tarfile.DIRTYPE, mode
                tar.addfile(folder)
            for path, source in sorted(self.files.items()):
                info = tarfile.TarInfo(path.lstrip('/'))
                if isinstance(source, tuple) and source[0] == '->':
                    info.type, info.linkname = tarfile.SYMTYPE, source[1]
                    tar.addfile(info)
                    continue
                if isinstance(source, tuple):
                    data = source[0]
                    info.mode = 0o644
                else:
                    with open(source, 'rb') as file:
                        data = file.read()
                    info.mode = 0o755 if os.access(source, os.X_OK) else 0o644
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()


def archive(out, name, tags, root, **config):
    layer = root.layer()
    digest = hashlib.sha256(layer).hexdigest()
    path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    image = json.dumps({
        'architecture': 'amd64',
        'os': 'linux',
        'config': {**config, 'Env': [path, *config.get('Env', [])]},
        'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + digest]},
    }).encode()
    file = os.path.join(out, name + '.tar')
    identity = hashlib.sha256(image + json.dumps(tags).encode()).hexdigest()
    if os.path.exists(file) and os.path.exists(file + '.id') and open(file + '.id').read() == identity:
        return
    config_name = hashlib.sha256(image).hexdigest() + '.json'
    manifest = [{'Config': config_name, 'RepoTags': ['docker.io/' + tag for tag in tags], 'Layers': ['layer.tar']}]
    with tarfile.open(file + '.new', 'w') as tar:
        for member, data in ((config_name, image), ('layer.tar', layer), ('manifest.json', json.dumps(manifest).encode())):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    os.replace(file + '.new', file)
    with open(file + '.id', 'w') as mark:
        mark.write(identity)
    print(f'{name} {len(layer) >> 20} MB')


def remora(repository):
    node = os.path.join(repository, 'node_modules/.bin/node')
    binary = subprocess.run([node, '-p', 'process.execPath'], capture_output=True, text=True, check=True).stdout.strip()
    root = Root().add(binary, '/usr/local/bin/node').add('/usr/bin/env').add('/usr/bin/dash').link('/bin/sh', '/usr/bin/dash')
    for name in ('dist', 'config', 'deploy'):
        root.tree(os.path.join(repository, name), '/app/' + name)
    root.files = {path: source for path, source in root.files.items() if not path.endswith('.map')}
    root.files['/app/package.json'] = os.path.join(repository, 'package.json')
    root.link('/usr/local/bin/remora', '/app/dist/remora.js')
    # Both backends, as Debian links them; extensions are loaded from their folder by name.
    for kind in ('nft', 'legacy'):
        multi = f'/usr/sbin/xtables-{kind}-multi'
        root.add(multi)
        for tables in ('iptables', 'ip6tables'):
            for verb in ('', '-save', '-restore'):
                root.link(f'/usr/sbin/{tables}-{kind}{verb}', multi)
                if kind == 'nft':
                    root.link(f'/usr/sbin/{tables}{verb}', multi)
    for name in os.listdir(XTABLES):
        root.add(os.path.join(XTABLES, name), os.path.join(XTABLES, name))
    root.program('ip')
    for name in ('protocols', 'services'):
        if os.path.exists('/etc/' + name):
            root.files['/etc/' + name] = '/etc/' + name
    return root


def main():
    out, kubernetes, repository = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    archive(out, 'pause', ['remora-test/pause:1'], Root().program('busybox'), Entrypoint=['/usr/bin/busybox', 'sleep', '2147483647'])
    archive(out, 'coredns', ['remora-test/coredns:1'], Root().add(os.path.join(kubernetes, 'coredns'), '/coredns'), Entrypoint=['/coredns'])
    archive(out, 'tools', ['remora-test/tools:1'], Root().busybox().program('curl'), Entrypoint=['/bin/sleep', '2147483647'])
    with open(os.path.join(repository, 'package.json')) as file:
        version = json.load(file)['version']
    with open(os.path.join(repository, 'Dockerfile')) as file:
        dockerfile = file.read().replace('\\\n', '')
    archive(
        out, 'remora', [f'library/remora:{version}', 'library/remora:next'], remora(repository),
        Entrypoint=json.loads(re.search(r'^ENTRYPOINT (.*)$', dockerfile, re.M)[1]), Cmd=['--help'],
        User=re.search(r'^USER (.*)$', dockerfile, re.M)[1], WorkingDir='/app', Env=['NODE_ENV=production'],
    )


main()
