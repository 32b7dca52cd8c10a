/* The part of a plan that mounts, carried out on a thread of the owner by the operations of the init program. */
#pragma once

#include "init/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * `plan`: whole, written to. Must be called by one thread only, which has a file system context (CLONE_FS) and a mount
 * namespace of its own, and umask 0. Gives 0 or a negative errno; `slot` is filled with descriptors either way (-1: none),
 * which the caller closes.
 */
int room_perform(struct plan_header *plan, int slot[PLAN_SLOTS]);

#ifdef __cplusplus
}
#endif
