//! containerd's Sandbox API, version 1.

use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::sandbox_api::{
    CreateSandboxRequest, CreateSandboxResponse, PingRequest, PingResponse, PlatformRequest,
    PlatformResponse, SandboxMetricsRequest, SandboxMetricsResponse, SandboxStatusRequest,
    SandboxStatusResponse, ShutdownSandboxRequest, ShutdownSandboxResponse, StartSandboxRequest,
    StartSandboxResponse, StopSandboxRequest, StopSandboxResponse, WaitSandboxRequest,
    WaitSandboxResponse,
};
use containerd_shim_protos::sandbox_async::Sandbox as SandboxApi;
use containerd_shim_protos::ttrpc::r#async::TtrpcContext;
use containerd_shim_protos::types::platform::Platform;
use skete_cri_api::runtime::PodSandboxConfig;
use skete_cri_api::{OWN_NAMESPACE, POD_SANDBOX_CONFIG_TYPE_URL};
use skete_sandbox::description::architecture;
use skete_sandbox::error::EngineError;
use skete_sandbox::layout::{Layout, Roots};
use skete_sandbox::policy::Policy;
use skete_sandbox::programs::Programs;
use skete_sandbox::sandbox::Sandbox;
use tokio::sync::mpsc;

use crate::convert::{status, timestamp};
use crate::metrics;
use crate::service::{Answer, Service, answer};

/// States of a sandbox, as CRI names them.
const READY: &str = "SANDBOX_READY";
const NOT_READY: &str = "SANDBOX_NOTREADY";

/// containerd's plugins read the specification of a sandbox's pause container. There is none, and
/// the specification says nothing.
const SPEC: &str = r#"{"ociVersion":"1.2.0","linux":{}}"#;
const SPEC_TYPE_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

/// The Sandbox API on the shim's state.
pub struct SandboxService(pub Arc<Service>);

#[async_trait]
impl SandboxApi for SandboxService {
    async fn create_sandbox(
        &self,
        _: &TtrpcContext,
        asked: CreateSandboxRequest,
    ) -> Answer<CreateSandboxResponse> {
        let service = &self.0;
        if asked.sandbox_id != service.id {
            return Err(status(&EngineError::InvalidArgument(format!(
                "this shim is for sandbox {}, not {}",
                service.id, asked.sandbox_id
            ))));
        }
        if service.current().is_some() {
            let id = asked.sandbox_id;
            return Err(status(&EngineError::AlreadyExists {
                what: "sandbox",
                id,
            }));
        }
        let config = answer(pod_config(&asked))?;
        // What `skete run` asks for is asked by root; what the kubelet hands on is a tenant's.
        let policy = if service.namespace == OWN_NAMESPACE {
            Policy::default()
        } else {
            answer(policy_for(&config))?
        };
        let netns = (!asked.netns_path.is_empty()).then(|| asked.netns_path.into());
        let layout = Layout::new(&Roots::from_env(), &service.namespace, &service.id);
        let layout = answer(layout.map_err(EngineError::from))?;
        let (sender, mut events) = mpsc::unbounded_channel();
        let sandbox = answer(Sandbox::create(layout, config, policy, netns, sender))?;
        service.set_sandbox(Arc::clone(&sandbox))?;
        let service = Arc::clone(service);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                service.events.send_engine_event(event, sandbox.pid());
            }
        });
        Ok(CreateSandboxResponse::new())
    }

    async fn start_sandbox(
        &self,
        _: &TtrpcContext,
        asked: StartSandboxRequest,
    ) -> Answer<StartSandboxResponse> {
        let sandbox = self.0.sandbox(&asked.sandbox_id)?;
        answer(sandbox.start().await)?;
        Ok(StartSandboxResponse {
            pid: sandbox.pid(),
            created_at: timestamp(sandbox.created_at()),
            spec: Some(Any {
                type_url: SPEC_TYPE_URL.to_owned(),
                value: SPEC.as_bytes().to_vec(),
                ..Default::default()
            })
            .into(),
            ..Default::default()
        })
    }

    async fn platform(&self, _: &TtrpcContext, asked: PlatformRequest) -> Answer<PlatformResponse> {
        self.0.sandbox(&asked.sandbox_id)?;
        let platform = Platform {
            os: "linux".to_owned(),
            architecture: architecture().to_owned(),
            ..Default::default()
        };
        Ok(PlatformResponse {
            platform: Some(platform).into(),
            ..Default::default()
        })
    }

    async fn stop_sandbox(
        &self,
        _: &TtrpcContext,
        asked: StopSandboxRequest,
    ) -> Answer<StopSandboxResponse> {
        let sandbox = self.0.sandbox(&asked.sandbox_id)?;
        sandbox.stop().await;
        self.0.retire(sandbox);
        Ok(StopSandboxResponse::new())
    }

    async fn wait_sandbox(
        &self,
        _: &TtrpcContext,
        asked: WaitSandboxRequest,
    ) -> Answer<WaitSandboxResponse> {
        let exit = self.0.sandbox(&asked.sandbox_id)?.wait().await;
        Ok(WaitSandboxResponse {
            exit_status: exit.code,
            exited_at: timestamp(exit.at),
            ..Default::default()
        })
    }

    async fn sandbox_status(
        &self,
        _: &TtrpcContext,
        asked: SandboxStatusRequest,
    ) -> Answer<SandboxStatusResponse> {
        let sandbox = self.0.sandbox(&asked.sandbox_id)?;
        let ended = sandbox.ended();
        let ready = sandbox.pid() != 0 && ended.is_none();
        let info = if asked.verbose {
            sandbox.info()
        } else {
            Default::default()
        };
        Ok(SandboxStatusResponse {
            sandbox_id: asked.sandbox_id,
            pid: sandbox.pid(),
            state: if ready { READY } else { NOT_READY }.to_owned(),
            info: info.into_iter().collect(),
            created_at: timestamp(sandbox.created_at()),
            exited_at: ended.map(|exit| timestamp(exit.at)).unwrap_or_default(),
            ..Default::default()
        })
    }

    async fn ping_sandbox(&self, _: &TtrpcContext, asked: PingRequest) -> Answer<PingResponse> {
        self.0.sandbox(&asked.sandbox_id)?;
        Ok(PingResponse::new())
    }

    async fn shutdown_sandbox(
        &self,
        _: &TtrpcContext,
        asked: ShutdownSandboxRequest,
    ) -> Answer<ShutdownSandboxResponse> {
        // containerd ends a shim by this even if its sandbox was refused and never made.
        if self.0.current().is_some() || asked.sandbox_id != self.0.id {
            let sandbox = self.0.sandbox(&asked.sandbox_id)?;
            if sandbox.ended().is_none() {
                sandbox.stop().await;
            }
            answer(sandbox.remove())?;
        }
        self.0.shutdown.notify_one();
        Ok(ShutdownSandboxResponse::new())
    }

    async fn sandbox_metrics(
        &self,
        _: &TtrpcContext,
        asked: SandboxMetricsRequest,
    ) -> Answer<SandboxMetricsResponse> {
        let sandbox = self.0.sandbox(&asked.sandbox_id)?;
        let stats = answer(sandbox.stats(Vec::new()).await)?;
        let usage = stats.sandbox.into_option().unwrap_or_default();
        let mut response = SandboxMetricsResponse::new();
        metrics::fill(&mut response, &self.0.id, &usage)?;
        Ok(response)
    }
}

/// The node's policy, if its administrator lets the Pod have its annotations.
fn policy_for(config: &PodSandboxConfig) -> Result<Policy, EngineError> {
    let policy = Policy::load(&Programs::of_this_executable()?.policy())?;
    policy.check(&config.annotations)?;
    Ok(policy)
}

/// The Pod as the kubelet described it. A caller without a kubelet may leave it out.
fn pod_config(asked: &CreateSandboxRequest) -> Result<PodSandboxConfig, EngineError> {
    let Some(options) = asked.options.as_ref() else {
        return Ok(PodSandboxConfig::new());
    };
    let name = options.type_url.rsplit('/').next().unwrap_or_default();
    if name != POD_SANDBOX_CONFIG_TYPE_URL {
        return Err(EngineError::InvalidArgument(format!(
            "sandbox options are a `{}`, not a `{POD_SANDBOX_CONFIG_TYPE_URL}`",
            options.type_url
        )));
    }
    PodSandboxConfig::parse_from_bytes(&options.value).map_err(|error| {
        EngineError::InvalidArgument(format!("sandbox options cannot be read: {error}"))
    })
}
