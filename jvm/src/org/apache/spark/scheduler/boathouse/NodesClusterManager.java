package org.apache.spark.scheduler.boathouse;

import org.apache.spark.SparkContext;
import org.apache.spark.scheduler.ExternalClusterManager;
import org.apache.spark.scheduler.SchedulerBackend;
import org.apache.spark.scheduler.TaskScheduler;
import org.apache.spark.scheduler.TaskSchedulerImpl;

/**
 * Spark's extension point for the master URL {@code spark-nodes:<cluster>}: executors are started by the node
 * daemons, from outside, and only register here. Spark finds this class through META-INF/services.
 *
 * <p>Lives under {@code org.apache.spark} because the scheduler's classes are {@code private[spark]}.
 */
public final class NodesClusterManager implements ExternalClusterManager {
    public static final String PREFIX = "spark-nodes:";

    @Override
    public boolean canCreate(String masterURL) {
        return masterURL.startsWith(PREFIX);
    }

    @Override
    public TaskScheduler createTaskScheduler(SparkContext sc, String masterURL) {
        return new TaskSchedulerImpl(sc);
    }

    @Override
    public SchedulerBackend createSchedulerBackend(SparkContext sc, String masterURL, TaskScheduler scheduler) {
        sc.addSparkListener(NodesExecutors.listener());
        return new NodesSchedulerBackend((TaskSchedulerImpl) scheduler, sc.env().rpcEnv());
    }

    @Override
    public void initialize(TaskScheduler scheduler, SchedulerBackend backend) {
        ((TaskSchedulerImpl) scheduler).initialize(backend);
    }
}
