import type { CollectionConfig } from '@tanstack/db';
import type { Row, TideStore } from 'pg-tide';

export interface TideCollectionOptions<T extends object>
  extends Partial<Omit<CollectionConfig<T, string>, 'sync' | 'onInsert' | 'onUpdate' | 'onDelete' | 'schema'>> {
  store: TideStore;
  /** The entity type. */
  type: string;
}

/** What createCollection() takes. */
export function tideCollectionOptions<T extends object = Row>(
  options: TideCollectionOptions<T>): CollectionConfig<T, string>;

/** The mutationFn of a transaction over several collections. */
export function tideMutationFn(store: TideStore): (given: { transaction: any }) => Promise<void>;
