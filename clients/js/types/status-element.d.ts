import type { SyncStatus } from 'pg-tide';

export interface StatusSource {
  readonly status: SyncStatus;
  sync(): unknown;
}

/** `<tide-status>`. Tapping it dispatches `tide-sync`, and syncs unless that is prevented. */
export class TideStatusElement extends HTMLElement {
  source: StatusSource | null;
}

declare global {
  interface HTMLElementTagNameMap {
    'tide-status': TideStatusElement;
  }
}
