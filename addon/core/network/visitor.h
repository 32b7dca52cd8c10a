// Work inside another network namespace: sockets belong to the namespace of the thread that makes them.
#pragma once

#include <functional>

#include "core/result.h"

namespace caisson {

// Runs `work` on a thread that is in `netns` meanwhile, and waits for it. The thread is for nothing else: processes that
// a thread makes are born in its namespaces. Needs CAP_SYS_ADMIN over both namespaces.
Result<> visit(int netns, const std::function<Result<>()>& work);

}  // namespace caisson
