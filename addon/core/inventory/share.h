// Work on many small things, shared out among a few threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

namespace caisson {

// Does the work for each index below `count`, in no order, on this thread and on others when there are more than `worth`
// for each. `each` makes what one thread does, with what it needs for that. When one throws a Fault `stopped` is set, the
// others take nothing new, and it is thrown when all have ended; of several the one of the lowest index.
void share_out(size_t count, size_t worth, std::atomic<bool>& stopped,
               const std::function<std::function<void(size_t index)>()>& each);

}  // namespace caisson
