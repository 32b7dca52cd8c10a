#include "core/layer/task.h"

#include "core/threads.h"

namespace caisson {

std::shared_ptr<Task> Task::start(Work work, End end, std::function<void()> stop) {
  std::shared_ptr<Task> task(new Task(std::move(stop)));
  start_thread([task, work = std::move(work), end = std::move(end)] {
    end(guarded([&] { work(task->cancelled_); }));
  });
  return task;
}

void Task::cancel() {
  cancelled_ = true;
  if (stop_) stop_();
}

}  // namespace caisson
