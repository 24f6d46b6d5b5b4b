package org.apache.spark.scheduler.boathouse;

import org.apache.spark.SparkContext;
import org.apache.spark.SparkStageInfo;
import org.apache.spark.SparkStatusTracker;
import org.apache.spark.scheduler.TaskScheduler;
import org.apache.spark.scheduler.TaskSchedulerImpl;
import scala.Option;
import scala.collection.immutable.Map;

/** What Spark has to do at this moment: tasks that wait for a slot, tasks that run. Counted when asked. */
public final class NodesDemand {
    /** Tasks of submitted stages that no executor has yet. */
    public final long pending;
    /** Tasks that executors work on. */
    public final long running;
    /** Jobs that are not at their end. */
    public final int jobs;

    private final Map<String, Object> byExecutor;

    private NodesDemand(long pending, long running, int jobs, Map<String, Object> byExecutor) {
        this.pending = pending;
        this.running = running;
        this.jobs = jobs;
        this.byExecutor = byExecutor;
    }

    public static NodesDemand of(SparkContext context) {
        SparkStatusTracker tracker = context.statusTracker();
        long pending = 0;
        long running = 0;
        for (int stage : tracker.getActiveStageIds()) {
            Option<SparkStageInfo> found = tracker.getStageInfo(stage);
            if (found.isDefined()) {
                SparkStageInfo info = found.get();
                running += info.numActiveTasks();
                // With speculation more copies run than there are tasks.
                pending += Math.max(0, info.numTasks() - info.numCompletedTasks() - info.numActiveTasks());
            }
        }
        TaskScheduler scheduler = context.taskScheduler();
        Map<String, Object> byExecutor =
                scheduler instanceof TaskSchedulerImpl ? ((TaskSchedulerImpl) scheduler).runningTasksByExecutors() : null;
        return new NodesDemand(pending, running, tracker.getActiveJobIds().length, byExecutor);
    }

    /** Tasks that run on an executor. */
    public int runningOn(String executor) {
        Option<Object> found = byExecutor == null ? Option.empty() : byExecutor.get(executor);
        return found.isDefined() ? (Integer) found.get() : 0;
    }
}
