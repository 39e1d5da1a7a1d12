import type { FromSupervisor, SupervisorChannel } from '../proxy/runtime/hot-restart.ts';

/** The proxy's end of the channel to the supervisor that started it; null when none did. */
export function supervisorChannel(): SupervisorChannel | null {
  if (process.send === undefined) return null;
  return {
    send(message, handle, sent) {
      if (process.connected) process.send!(message, handle as never, undefined, sent);
      else sent?.();
    },
    onMessage(listener) {
      process.on('message', (message, handle) => listener(message as FromSupervisor, handle as object | undefined));
    },
  };
}
