// What our dashboards are made of, by the types that Grafana publishes: the dashboard, and of each kind of panel its
// options and its fields. A member that Grafana does not know is an error as one of a wrong type is.

import type { AnnotationQuery, Dashboard, DataQuery, FieldConfig, Panel, RowPanel } from '@grafana/schema';
import type * as TimeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as Heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';

// Enumerations by their values, as JSON has them.
type Plain<T> = 0 extends 1 & T ? T
  : T extends string ? `${T}`
  : T extends number ? (`${T}` extends `${infer N extends number}` ? N : never)
  : T extends Array<infer E> ? Array<Plain<E>>
  : T extends object ? { [K in keyof T]: Plain<T[K]> }
  : T;

// Grafana keeps what is of one sort of data source in the package of that.
interface Annotation extends AnnotationQuery {
  expr?: string;
  step?: string;
  tagKeys?: string;
  textFormat?: string;
  titleFormat?: string;
  useValueForTime?: boolean;
}

interface Query extends DataQuery {
  expr: string;
  editorMode: 'code';
  format?: 'table' | 'heatmap';
  instant: boolean;
  range: boolean;
  legendFormat: string;
}

type Of<Type extends string, Options, Custom> = Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  options: Options;
  fieldConfig: {
    defaults: Omit<FieldConfig, 'custom'> & { custom: Custom };
    overrides: NonNullable<Panel['fieldConfig']>['overrides'];
  };
  targets: Query[];
};

type OurPanel =
  | Of<'timeseries', TimeSeries.Options, TimeSeries.FieldConfig>
  // What is left out has a default, but newer types ask for it and older ones do not know it.
  | Of<'stat', Omit<Stat.Options, 'percentChangeColorMode'>, Record<string, never>>
  | Of<'table', Table.Options, Table.FieldConfig>
  | Of<'heatmap', Heatmap.Options, Heatmap.FieldConfig>;

type OurRow = Omit<RowPanel, 'panels'> & { type: 'row'; panels: OurPanel[] };

export type OurDashboard = Plain<
  Omit<Dashboard, 'annotations' | 'panels'> & {
    annotations: { list: Annotation[] };
    panels: Array<OurPanel | OurRow>;
  }
>;
