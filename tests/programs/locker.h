/* What the parts of the remote-controlled locker share. */
#ifndef LOCKER_H
#define LOCKER_H

#define SLOTS 4096 /* descriptors that a driver can name */

/* The one line that answers a command. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* "ok" for 0, else the name of errno. */
const char *outcome(int result);

/* Descriptors by the driver's number, in locker_fd.c. An unknown slot is -1, which every call
 * answers with EBADF. */
int slot_fd(const char *slot);
void slot_put(const char *slot, int fd);
void slots_forget(void);
int slots_to_args(char **args, int max);
void slots_from_args(char **args);

/* Commands that make or pass descriptors, in locker_fd.c. */
void do_open(int argc, char **argv);
void do_dup(int argc, char **argv);
void do_close(int argc, char **argv);
void do_closeall(int argc, char **argv);
void do_pipe(int argc, char **argv);
void do_socket(int argc, char **argv);
void do_cloexec(int argc, char **argv);
void do_listen(int argc, char **argv);
void do_send(int argc, char **argv);
void do_recv(int argc, char **argv);

/* Commands that lock and wait, in locker_wait.c. */
void do_flock(int argc, char **argv);
void do_start(int argc, char **argv);
void do_wait(int argc, char **argv);
void do_handler(int argc, char **argv);
void do_handled(int argc, char **argv);
void do_tkill(int argc, char **argv);
void do_cancel(int argc, char **argv);
void do_alarm(int argc, char **argv);
void jobs_forget(void);

#endif
