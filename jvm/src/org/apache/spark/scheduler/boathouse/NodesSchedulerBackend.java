package org.apache.spark.scheduler.boathouse;

import org.apache.spark.rpc.RpcEnv;
import org.apache.spark.scheduler.ExecutorDecommissionInfo;
import org.apache.spark.scheduler.TaskSchedulerImpl;
import org.apache.spark.scheduler.cluster.CoarseGrainedSchedulerBackend;
import scala.Option;

/**
 * A scheduler backend that starts no executors: it takes whichever registers with the cluster's secret, under an id
 * that was never used before. The control plane adds, replaces and decommissions them.
 */
public final class NodesSchedulerBackend extends CoarseGrainedSchedulerBackend {
    /** The application id chosen by the control plane, so that executors can be started before the driver is up. */
    public static final String APP_ID = "spark.boathouse.app.id";

    private final String applicationId;

    public NodesSchedulerBackend(TaskSchedulerImpl scheduler, RpcEnv rpcEnv) {
        super(scheduler, rpcEnv);
        this.applicationId = scheduler.sc().conf().get(APP_ID);
    }

    @Override
    public String applicationId() {
        return applicationId;
    }

    /** The driver is ready without executors: they come while it answers its first calls. */
    @Override
    public boolean sufficientResourcesRegistered() {
        return true;
    }

    /**
     * Asks an executor to finish its tasks, hand over its blocks and exit.
     *
     * @return false when no such executor is registered (never was, or is gone already)
     */
    public boolean decommission(String executorId, String reason) {
        return decommissionExecutor(executorId, new ExecutorDecommissionInfo(reason, Option.empty()), false, false);
    }
}
