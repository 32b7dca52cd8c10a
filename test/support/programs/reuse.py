"""Takes over the numbers of members of a group that is frozen: kills some, and makes processes of its own with their
process ids. Arguments: the group's cgroup.events, how many. Says who its members are; then, after a line of input, which
numbers it has given again."""
import os, signal, sys

events, count = sys.argv[1], int(sys.argv[2])


def child():
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def again(pid):
    """A process with this number, if nobody else is quicker; otherwise none."""
    with open('/proc/sys/kernel/ns_last_pid', 'w') as last:
        last.write(str(pid - 1))
    made = child()
    if made == pid:
        return True
    os.kill(made, signal.SIGKILL)
    os.waitpid(made, 0)
    return False


members = [child() for _ in range(count)]
print(' '.join(map(str, members)), flush=True)
sys.stdin.readline()
state = os.open(events, os.O_RDONLY)
while b'frozen 1' not in os.pread(state, 100, 0):
    pass
taken = []
for pid in reversed(members[count // 2:]):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if again(pid):
        taken.append(pid)
print(' '.join(map(str, taken)), flush=True)
signal.pause()
