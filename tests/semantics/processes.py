"""Shells, programs without the library, and calls at the edges of a process's life."""
import subprocess

from flocktest import case, main


@case
def shell_keeps_what_flock_took(t):
    "`exec 9>f; flock 9`: flock(1) locks the inherited description and ends; the shell holds, until it closes 9."
    b = t.open("b")
    script = f"exec 9>{t.path('a')}; flock 9; echo locked; read _; exec 9>&-; echo closed; read _"
    shell = t.popen("a", "bash", "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.equal(shell.stdout.readline(), b"locked\n", "shell")
    job = b.waits("ex")
    job.still_blocked()
    shell.stdin.write(b"\n")
    shell.stdin.flush()
    t.equal(shell.stdout.readline(), b"closed\n", "shell")
    job.granted()


@case
def killed_shell_leaves_its_child(t):
    "The shell is killed; a child that has inherited descriptor 9 still holds the lock, until it ends."
    b = t.open("b")
    script = f"exec 9>{t.path('a')}; flock 9; sleep 60 & echo $!; wait"
    shell = t.popen("a", "bash", "-c", script, stdout=subprocess.PIPE)
    child = int(shell.stdout.readline())
    job = b.waits("ex")
    shell.kill()
    shell.wait()
    job.still_blocked()
    subprocess.run(["kill", "-KILL", str(child)], check=True)
    job.granted()


@case
def program_without_the_library_holds(t):
    "On the same host a program without the preload keeps ours out, for the kernel lock is real."
    plain, ours = t.open("b", preload=False), t.open("b")
    plain.locks("ex")
    ours.refused("ex")
    ours.refused("sh")
    job = ours.waits("ex")
    job.still_blocked()
    plain.unlocks()
    job.granted()


@case
def program_without_the_library_waits(t):
    "And ours keep it out."
    plain, ours = t.open("b", preload=False), t.open("b")
    ours.locks("ex")
    plain.refused("ex")
    job = plain.waits("ex")
    ours.unlocks()
    job.granted()
    plain.unlocks()
    ours.tries("ex")


@case
def program_without_the_library_reads(t):
    "Readers with and without the library hold together."
    plain, ours = t.open("b", preload=False), t.open("b")
    plain.locks("sh")
    ours.tries("sh")
    ours.refused("ex")
    plain.unlocks()
    ours.tries("ex")


@case
def local_foreigner_does_not_stop_the_other_host(t):
    "Host b waits for a program without the library; when that has gone, both hosts' programs get their turn."
    plain, b, a = t.open("b", preload=False), t.open("b"), t.open("a")
    plain.locks("ex")
    first = b.waits("ex")
    plain.unlocks()
    first.granted()
    second = a.waits("ex")
    b.unlocks()
    second.granted()


EARLY = ("preinit", "constructor", "main", "destructor")


def early(t, host, answer):
    """Runs the program that locks before and after main and compares what it was answered."""
    env = t.env(host)
    env["EARLY_FILE"] = t.path(host)
    done = subprocess.run([env["PROGRAMS"] + "/early"], env=env, stdout=subprocess.PIPE, timeout=30, check=False)
    t.equal(done.stdout.decode().splitlines(), [f"{where} {answer}" for where in EARLY], "answers")


@case
def locking_before_constructors_and_after_main(t):
    "flock works from .preinit_array, from a constructor that runs before the library's own, and from a destructor."
    early(t, "a", "ok")
    early(t, "b", "ok")


@case
def refused_before_constructors_and_after_main(t):
    "There, too, it knows what the other host holds."
    a = t.open("a")
    a.locks("ex")
    early(t, "b", "EWOULDBLOCK")


main()
