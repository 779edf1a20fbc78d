/* What an open file description holds already, as the kernel sees it. */
#ifndef ETCDFLOCK_HELD_H
#define ETCDFLOCK_HELD_H

#include "wire/wire.h"

/* The flock(2) lock of the description behind `fd`, read from fdinfo, which shows it also in
 * children, in copies that came by SCM_RIGHTS and in other pid namespaces (/proc/locks does not).
 * Without /proc: WIRE_NONE. 0 or a negative errno. */
int held_mode(int fd, enum wire_mode *mode);

#endif
