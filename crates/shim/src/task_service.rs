//! containerd's Task API, version 3, for the containers of one sandbox.

use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim_protos::events::task as events;
use containerd_shim_protos::shim_async::Task;
use containerd_shim_protos::ttrpc::r#async::TtrpcContext;
use containerd_shim_protos::types::task::ProcessInfo;
use containerd_shim_protos::{api, topics};
use skete_sandbox::container::ContainerRequest;
use skete_sandbox::process::{Exit, Status};
use skete_sandbox::rootfs::Rootfs;

use crate::convert::{stdio, task_status, timestamp};
use crate::metrics;
use crate::service::{Answer, Service, answer};

/// The Task API on the shim's state.
pub struct TaskService(pub Arc<Service>);

#[async_trait]
impl Task for TaskService {
    async fn create(
        &self,
        _: &TtrpcContext,
        asked: api::CreateTaskRequest,
    ) -> Answer<api::CreateTaskResponse> {
        let sandbox = self.0.of_task()?;
        let rootfs = answer(Rootfs::from_mounts(&asked.rootfs).map_err(Into::into))?;
        let stdio = answer(stdio(
            asked.terminal,
            &asked.stdin,
            &asked.stdout,
            &asked.stderr,
        ))?;
        let request = ContainerRequest {
            id: asked.id.clone(),
            bundle: asked.bundle.clone().into(),
            rootfs,
            stdio,
        };
        answer(sandbox.create_container(request).await)?;
        let pid = sandbox.pid();
        self.0.events.send(
            topics::TASK_CREATE_EVENT_TOPIC,
            events::TaskCreate {
                container_id: asked.id,
                bundle: asked.bundle,
                rootfs: asked.rootfs,
                io: Some(events::TaskIO {
                    stdin: asked.stdin,
                    stdout: asked.stdout,
                    stderr: asked.stderr,
                    terminal: asked.terminal,
                    ..Default::default()
                })
                .into(),
                pid,
                ..Default::default()
            },
        );
        Ok(api::CreateTaskResponse {
            pid,
            ..Default::default()
        })
    }

    async fn start(
        &self,
        _: &TtrpcContext,
        asked: api::StartRequest,
    ) -> Answer<api::StartResponse> {
        let sandbox = self.0.of_task()?;
        let pid = answer(sandbox.start_process(&asked.id, &asked.exec_id).await)?;
        if asked.exec_id.is_empty() {
            let container_id = asked.id;
            let started = events::TaskStart {
                container_id,
                pid,
                ..Default::default()
            };
            self.0.events.send(topics::TASK_START_EVENT_TOPIC, started);
        } else {
            let started = events::TaskExecStarted {
                container_id: asked.id,
                exec_id: asked.exec_id,
                pid,
                ..Default::default()
            };
            self.0
                .events
                .send(topics::TASK_EXEC_STARTED_EVENT_TOPIC, started);
        }
        Ok(api::StartResponse {
            pid,
            ..Default::default()
        })
    }

    async fn exec(&self, _: &TtrpcContext, asked: api::ExecProcessRequest) -> Answer<api::Empty> {
        let sandbox = self.0.of_task()?;
        let stdio = answer(stdio(
            asked.terminal,
            &asked.stdin,
            &asked.stdout,
            &asked.stderr,
        ))?;
        let process = &asked.spec.value;
        answer(
            sandbox
                .create_exec(&asked.id, &asked.exec_id, process, stdio)
                .await,
        )?;
        self.0.events.send(
            topics::TASK_EXEC_ADDED_EVENT_TOPIC,
            events::TaskExecAdded {
                container_id: asked.id,
                exec_id: asked.exec_id,
                ..Default::default()
            },
        );
        Ok(api::Empty::new())
    }

    async fn state(
        &self,
        _: &TtrpcContext,
        asked: api::StateRequest,
    ) -> Answer<api::StateResponse> {
        let sandbox = self.0.of_task()?;
        let container = answer(sandbox.container(&asked.id))?;
        let process = answer(container.process(&asked.exec_id))?;
        let path = |path: &std::path::Path| path.display().to_string();
        let mut state = api::StateResponse {
            id: asked.id,
            exec_id: asked.exec_id,
            bundle: path(&container.bundle),
            pid: sandbox.pid(),
            status: task_status(process.status()).into(),
            stdin: path(&process.stdio.stdin),
            stdout: path(&process.stdio.stdout),
            stderr: path(&process.stdio.stderr),
            terminal: process.stdio.terminal,
            ..Default::default()
        };
        if let Status::Exited(exit) = process.status() {
            state.exit_status = exit.code;
            state.exited_at = timestamp(exit.at);
        }
        Ok(state)
    }

    async fn wait(&self, _: &TtrpcContext, asked: api::WaitRequest) -> Answer<api::WaitResponse> {
        let sandbox = self.0.of_task()?;
        let container = answer(sandbox.container(&asked.id))?;
        let process = answer(container.process(&asked.exec_id))?;
        let Exit { code, at, .. } = process.wait().await;
        Ok(api::WaitResponse {
            exit_status: code,
            exited_at: timestamp(at),
            ..Default::default()
        })
    }

    async fn kill(&self, _: &TtrpcContext, asked: api::KillRequest) -> Answer<api::Empty> {
        let sandbox = self.0.of_task()?;
        let sent = sandbox
            .signal(&asked.id, &asked.exec_id, asked.signal, asked.all)
            .await;
        answer(sent).map(|()| api::Empty::new())
    }

    async fn delete(
        &self,
        _: &TtrpcContext,
        asked: api::DeleteRequest,
    ) -> Answer<api::DeleteResponse> {
        let sandbox = self.0.of_task()?;
        let exit = answer(sandbox.delete(&asked.id, &asked.exec_id).await)?;
        let pid = sandbox.pid();
        if asked.exec_id.is_empty() {
            self.0.events.send(
                topics::TASK_DELETE_EVENT_TOPIC,
                events::TaskDelete {
                    container_id: asked.id,
                    pid,
                    exit_status: exit.code,
                    exited_at: timestamp(exit.at),
                    ..Default::default()
                },
            );
        }
        Ok(api::DeleteResponse {
            pid,
            exit_status: exit.code,
            exited_at: timestamp(exit.at),
            ..Default::default()
        })
    }

    async fn resize_pty(
        &self,
        _: &TtrpcContext,
        asked: api::ResizePtyRequest,
    ) -> Answer<api::Empty> {
        let sandbox = self.0.of_task()?;
        let resized = sandbox
            .resize(&asked.id, &asked.exec_id, asked.width, asked.height)
            .await;
        answer(resized).map(|()| api::Empty::new())
    }

    async fn close_io(&self, _: &TtrpcContext, asked: api::CloseIORequest) -> Answer<api::Empty> {
        let container = answer(self.0.of_task()?.container(&asked.id))?;
        let process = answer(container.process(&asked.exec_id))?;
        if asked.stdin {
            process.close_stdin();
        }
        Ok(api::Empty::new())
    }

    async fn pids(&self, _: &TtrpcContext, asked: api::PidsRequest) -> Answer<api::PidsResponse> {
        let pids = answer(self.0.of_task()?.pids(&asked.id).await)?;
        let info = |pid| ProcessInfo {
            pid,
            ..Default::default()
        };
        let processes = pids.into_iter().map(info).collect();
        Ok(api::PidsResponse {
            processes,
            ..Default::default()
        })
    }

    async fn stats(
        &self,
        _: &TtrpcContext,
        asked: api::StatsRequest,
    ) -> Answer<api::StatsResponse> {
        let mut stats = answer(self.0.of_task()?.stats(vec![asked.id.clone()]).await)?;
        let usage = stats.containers.remove(&asked.id).unwrap_or_default();
        Ok(api::StatsResponse {
            stats: Some(metrics::any(&usage)?).into(),
            ..Default::default()
        })
    }

    async fn update(&self, _: &TtrpcContext, asked: api::UpdateTaskRequest) -> Answer<api::Empty> {
        let updated = self
            .0
            .of_task()?
            .update(&asked.id, &asked.resources.value)
            .await;
        answer(updated).map(|()| api::Empty::new())
    }

    async fn pause(&self, _: &TtrpcContext, asked: api::PauseRequest) -> Answer<api::Empty> {
        answer(self.0.of_task()?.pause(&asked.id, true).await).map(|()| api::Empty::new())
    }

    async fn resume(&self, _: &TtrpcContext, asked: api::ResumeRequest) -> Answer<api::Empty> {
        answer(self.0.of_task()?.pause(&asked.id, false).await).map(|()| api::Empty::new())
    }

    async fn connect(
        &self,
        _: &TtrpcContext,
        _asked: api::ConnectRequest,
    ) -> Answer<api::ConnectResponse> {
        let task_pid = self.0.current().map_or(0, |sandbox| sandbox.pid());
        Ok(api::ConnectResponse {
            shim_pid: std::process::id(),
            task_pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        })
    }

    async fn shutdown(&self, _: &TtrpcContext, _asked: api::ShutdownRequest) -> Answer<api::Empty> {
        // containerd asks after every task; a shim that has a sandbox stays until the sandbox is
        // shut down.
        if self.0.current().is_none() {
            self.0.shutdown.notify_one();
        }
        Ok(api::Empty::new())
    }
}
