//! What operators ask of a node: that it resigns, its priority, and a scavenge. Nothing else of it is served.

use super::access::Right;
use super::protocol::operations::operations_server::Operations;
use super::protocol::operations::{
    ScavengeResp, SetNodePriorityReq, StartScavengeReq, StopScavengeReq, scavenge_resp,
};
use super::server::Member;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

#[async_trait]
impl Operations for Member {
    /// A real server answers at once, too: the election comes after that, and a follower that is asked does nothing.
    async fn resign_node(&self, request: Request<()>) -> Result<Response<()>, Status> {
        self.admit_operator(request.metadata())?;
        self.cluster.resign(self.number);
        Ok(Response::new(()))
    }

    async fn start_scavenge(
        &self,
        request: Request<StartScavengeReq>,
    ) -> Result<Response<ScavengeResp>, Status> {
        self.admit_operator(request.metadata())?;
        self.cluster.log.scavenge();
        Ok(Response::new(ScavengeResp {
            scavenge_id: Uuid::new_v4().to_string(),
            scavenge_result: scavenge_resp::ScavengeResult::Started.into(),
        }))
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
        request: Request<SetNodePriorityReq>,
    ) -> Result<Response<()>, Status> {
        self.admit_operator(request.metadata())?;
        let SetNodePriorityReq { priority } = request.into_inner();
        self.cluster.set_priority(self.number, priority);
        Ok(Response::new(()))
    }

    async fn restart_persistent_subscriptions(
        &self,
        _: Request<()>,
    ) -> Result<Response<()>, Status> {
        Err(not_served())
    }
}

impl Member {
    fn admit_operator(&self, headers: &MetadataMap) -> Result<(), Status> {
        self.cluster.access.admit(headers, Right::Operate)
    }
}

fn not_served() -> Status {
    Status::unimplemented("the stand-in has ResignNode, SetNodePriority and StartScavenge only")
}
