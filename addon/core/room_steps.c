#include "core/room_steps.h"

#include "init/context.h"

/* What is the same for whoever does it. Nothing here is about the process: identity, limits, the program. */
const operator_function plan_operators[PLAN_OP_COUNT] = {
    [PLAN_PROPAGATION] = op_propagation,
    [PLAN_TREE] = op_tree,
    [PLAN_FILESYSTEM] = op_filesystem,
    [PLAN_OVERLAY] = op_overlay,
    [PLAN_ROOT] = op_root,
    [PLAN_ATTACH] = op_attach,
    [PLAN_SETATTR] = op_setattr,
    [PLAN_MASK] = op_mask,
    [PLAN_READONLY] = op_readonly,
    [PLAN_DIRECTORY] = op_directory,
    [PLAN_NODE] = op_node,
    [PLAN_SYMLINK] = op_symlink,
    [PLAN_FILE] = op_file,
};

int room_perform(struct plan_header *plan, int slot[PLAN_SLOTS]) {
  struct context c = {.plan = plan, .control = -1, .empty_dir = -1, .self = -1};
  for (u32 i = 0; i < PLAN_SLOTS; i++) c.slot[i] = -1;
  resolve_new_root();
  int r = plan_perform(&c);
  resolve_new_root();
  memcpy(slot, c.slot, sizeof c.slot);
  return r;
}
