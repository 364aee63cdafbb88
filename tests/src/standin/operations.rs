//! What operators ask of a node: that its leader steps back. Nothing else of it is served.

use super::access::Right;
use super::protocol::operations::operations_server::Operations;
use super::protocol::operations::{
    ScavengeResp, SetNodePriorityReq, StartScavengeReq, StopScavengeReq,
};
use super::server::Member;
use tonic::{Request, Response, Status, async_trait};

#[async_trait]
impl Operations for Member {
    /// A real server answers at once, too: the election comes after that, and a follower that is asked does nothing.
    async fn resign_node(&self, request: Request<()>) -> Result<Response<()>, Status> {
        self.cluster
            .access
            .admit(request.metadata(), Right::Operate)?;
        self.cluster.resign(self.number);
        Ok(Response::new(()))
    }

    async fn start_scavenge(
        &self,
        _: Request<StartScavengeReq>,
    ) -> Result<Response<ScavengeResp>, Status> {
        Err(not_served())
    }

    async fn stop_scavenge(
        &self,
        _: Request<StopScavengeReq>,
    ) -> Result<Response<ScavengeResp>, Status> {
        Err(not_served())
    }

    async fn shutdown(&self, _: Request<()>) -> Result<Response<()>, Status> {
        Err(not_served())
    }

    async fn merge_indexes(&self, _: Request<()>) -> Result<Response<()>, Status> {
        Err(not_served())
    }

    async fn set_node_priority(
        &self,
        _: Request<SetNodePriorityReq>,
    ) -> Result<Response<()>, Status> {
        Err(not_served())
    }

    async fn restart_persistent_subscriptions(
        &self,
        _: Request<()>,
    ) -> Result<Response<()>, Status> {
        Err(not_served())
    }
}

fn not_served() -> Status {
    Status::unimplemented("the stand-in knows one operation: ResignNode")
}
