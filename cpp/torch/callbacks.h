// Where futures are completed. A callback attached to a future may wait for another operation
// (PowerSGD's does), so it must run neither in the core's threads, which that operation needs, nor
// behind another callback that is waiting.
#pragma once

#include <functional>

namespace distos_coll::torch_door {

// Runs the task soon, in a thread of the pool; the pool grows when all of its threads are busy.
// Tasks must not throw.
void run_callback(std::function<void()> task);

}  // namespace distos_coll::torch_door
